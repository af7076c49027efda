"""Problem: what is wrong with one record, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmbench.records.store import Result

Level = Literal["error", "warning"]
ERROR: Literal["error"] = "error"
WARNING: Literal["warning"] = "warning"


@dataclass(frozen=True)
class Problem:
    """Something about one record that is wrong, or that is unlikely to be right.

    Attributes:
        level: "error" where the record cannot be what was measured; "warning" where a person must decide.
        file: path of the record, or of the file beside it.
        reason: what was seen.
    """

    level: Level
    file: str
    reason: str


@dataclass(frozen=True)
class Filed:
    """A record and where it lies.

    Attributes:
        root: the results folder.
        path: of the record.
    """

    root: Path
    path: Path
    result: Result

    @property
    def name(self) -> str:
        """The path of the record, for messages."""
        return str(self.path)


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Attributes:
        records: that could be read.
        recomputed: records of which a metric was computed anew from per-image outcomes.
        without_outcomes: records without per-image outcomes that could be read.
        not_recomputed: (metric, records with outcomes that it was not computed anew of), by name.
        problems: errors before warnings, each in the order of the files.
    """

    records: int
    recomputed: int
    without_outcomes: int
    not_recomputed: tuple[tuple[str, int], ...]
    problems: tuple[Problem, ...]

    def of(self, level: Level) -> tuple[Problem, ...]:
        """Return the problems of one level."""
        return tuple(problem for problem in self.problems if problem.level == level)
