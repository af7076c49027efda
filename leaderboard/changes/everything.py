"""What else differs between two boards: all fields that a board has, unless `NOT_COMPARED` says why not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mmbench.file_names import counted
from mmbench.formatting import Unit
from mmbench.leaderboard.board import ColumnKey
from mmbench.leaderboard.changes.snapshot import Snapshot
from mmbench.leaderboard.changes.wording import change_words

# Fields of board.json that may differ between equal boards, and why.
NOT_COMPARED: Mapping[str, str] = MappingProxyType(
    {
        "files": "names of the files beside it",
        "title": "a heading that the build chose",
        "created": "a date",
        "published": "numbers from elsewhere",
        "anchors": "they stand beside numbers from elsewhere",
        "row_columns": "how facts of the rows are shown",
        "provenances": "compared with the runs that name them",
        "rows.rank_low": "in rank_interval",
        "rows.rank_high": "in rank_interval",
        "rows.seeds": "in pretraining_seeds",
        "columns.name": "made of the column's key",
        "columns.label": "a heading, which depends on what other columns there are",
        "cells.arm": "that of the row",
        "cells.runs.record": "where the record lies",
        "cells.runs.files": "where files lie",
        "cells.runs.created": "a date",
    }
)
# Compared by `compare`, each in its own way; all other fields of rows and columns are facts, compared there.
OF_THE_BOARD = ("baseline", "verdict", "environment", "rows", "columns", "cells", "footnotes")
OF_A_CELL = ("row", "column", "best", "runs", "delta", "secondary")
OF_A_RUN = ("transfer_seed", "labels", "value", "weights")
NUMBERS_OF_A_ROW = (
    *(
        "complete",
        "mean_rank",
        "rank_interval",
        "p_best",
        "pretrain_seconds",
        "pretrain_compute",
        "transfer_seconds",
    ),
    *("transfer_compute", "images_per_second", "pretraining_seeds", "weights"),
)
WORDS = {
    "overall": "interquartile means, profiles or critical differences",
    "p_best": "P(best)",
    "summary": "mean, spread or interval",
    "delta": "difference to the baseline",
    "secondary": "other metric",
    "runs.pretraining_seed": "pretraining seed of a run",
    "runs.interval": "95% interval of a run",
    "runs.provenance": "code, machine or packages of a run",
    "runs.wall_seconds": "wall time of a run",
    "runs.compute_seconds": "computing time of a run",
    "runs.effective_lr": "learning rate of a run",
}
CLOSE = 1e-9  # relative: what two machines may make of the same numbers

Found = dict[str, list[tuple[str, str]]]  # words for a field -> (where it differs, how)
CellKey = tuple[str, ColumnKey]


@dataclass(frozen=True)
class Place:
    """Where a field is, in words, and the unit of the metric that it is about, if it is about one."""

    where: str = ""
    unit: Unit | None = None


def other_numbers(old: Snapshot, new: Snapshot, listed: Set[CellKey]) -> Iterator[str]:
    """Yield a line for each other metric of a cell that changed, and one for each further field that did.

    Differences to the baseline are left out where the baselines are not the same row.

    Args:
        listed: cells whose means are listed as changed.
    """
    found: Found = defaultdict(list)
    _compare(found, old.plain, new.plain, "", Place(), (*OF_THE_BOARD, *NOT_COMPARED))
    for name in (name for name in old.rows if name in new.rows):
        before, after = old.rows[name], new.rows[name]
        for field in NUMBERS_OF_A_ROW:
            words = f"{_called(field)} of a row"
            _note(found, field, Place(name), before.get(field), after.get(field), words)
    for key in (key for key in old.cells if key in new.cells):
        yield from _metrics(found, key, old, new)
        _cell(found, key, old, new, ("summary",) if key in listed else ())
    for words, places in found.items():
        where, how = places[0]
        more = f" (and in {counted(len(places) - 1, 'other place')})" if len(places) > 1 else ""
        yield f"{words}: {where + ': ' if where else ''}{how}{more}"


def notes(old: Snapshot, new: Snapshot) -> Iterator[str]:
    """Yield the caveats that one board has alone."""
    yield from (f"note gone: {note}" for note in old.footnotes if note not in new.footnotes)
    yield from (f"note new: {note}" for note in new.footnotes if note not in old.footnotes)


def equal(one: Any, other: Any) -> bool:
    """Whether two values of JSON are the same but for rounding."""
    return next(_leaves(one, other), None) is None


def _leaves(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield path and both values of everything that differs within two values of JSON."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in dict.fromkeys((*one, *other)):
            yield from _leaves(one.get(name), other.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (left, right) in enumerate(zip(one, other, strict=True), start=1):
            yield from _leaves(left, right, f"{path}[{place}]")
    elif not (_number(one) and _number(other)):
        if type(one) is not type(other) or one != other:
            yield path, one, other
    elif not math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE**2):
        yield path, one, other


def _called(field: str) -> str:
    return WORDS.get(field, field.rpartition(".")[2].replace("_", " "))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _note(found: Found, field: str, place: Place, one: Any, other: Any, words: str | None = None) -> None:
    """Write down where a field differs, and its first difference.

    Args:
        words: what the field is called; what `WORDS` says of it, or its name, if None.
    """
    first = next(_leaves(one, other), None)
    if first is not None:
        path, left, right = ("", one, other) if isinstance(one, list) else first
        change = change_words(left, right, f"{field}.{path}".strip("."), place.unit)
        found[words or _called(field)].append((place.where, f"{path + ': ' if path else ''}{change}"))


def _compare(
    found: Found,
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    prefix: str,
    place: Place,
    without: Sequence[str],
) -> None:
    """Compare all fields of two parts of boards; `prefix` and a name are a path in `without` and `WORDS`."""
    for name in dict.fromkeys((*one, *other)):
        if name not in without and f"{prefix}{name}" not in without:
            _note(found, f"{prefix}{name}", place, one.get(name), other.get(name))


def _metrics(found: Found, key: CellKey, old: Snapshot, new: Snapshot) -> Iterator[str]:
    """Yield the other metrics of a cell that changed, came or went; note what else differs of them."""
    where = _where(key)
    before, after = old.secondary[key], new.secondary[key]
    for metric in dict.fromkeys((*before, *after)):
        place = f"{where.rpartition(', ')[0]}, {metric}"
        if metric not in after or metric not in before:
            yield f"{place}: {'gone' if metric in before else 'new'}"
            continue
        one, other = before[metric], after[metric]
        old_mean, new_mean, unit = one["summary"]["mean"], other["summary"]["mean"], other["unit"]
        if not equal(old_mean, new_mean):
            yield f"{place}: {change_words(old_mean, new_mean, 'mean', unit)}"
        else:
            without = ("delta",) if old.baseline != new.baseline else ()
            left, right = ({"secondary": _kept(entry, without)} for entry in (one, other))
            _compare(found, left, right, "", Place(place, unit), ())


def _kept(part: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in without}


def _cell(found: Found, key: CellKey, old: Snapshot, new: Snapshot, aside: Sequence[str]) -> None:
    """Note what differs of a cell, and of the runs that both boards have."""
    before, after = old.cells[key], new.cells[key]
    place = Place(_where(key), new.columns[key[1]]["unit"])
    without = [path.removeprefix("cells.") for path in NOT_COMPARED]
    _compare(found, before, after, "", place, (*OF_A_CELL, *without, *aside))
    if old.baseline == new.baseline:
        _note(found, "delta", place, before.get("delta"), after.get("delta"))
    ours, theirs = _by_identity(before["runs"]), _by_identity(after["runs"])
    for identity in (identity for identity in ours if identity in theirs):
        for one, other in zip(ours[identity], theirs[identity], strict=False):
            _compare(found, one, other, "runs.", place, (*OF_A_RUN, *without))


def _by_identity(runs: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return runs by what they are known by, the digest of their weights aside."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in sorted(runs, key=str):
        found[str([run.get(name) for name in OF_A_RUN if name != "weights"])].append(run)
    return found


def _where(key: CellKey) -> str:
    return f"{key[0]} in {column_words(key[1])}"


def column_words(key: ColumnKey) -> str:
    """Return a column in words, such as "knn/patterns@1 on patterns, top1"."""
    _, dataset, protocol, metric = key
    return f"{protocol} on {dataset}, {metric}"
