"""Verify a results folder: every record, what lies beside it, and all of them together."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmbench.errors import UserError
from mmbench.image_outcomes import ENDING
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.load import load_frame
from mmbench.leaderboard.verify.outcomes import check_outcomes, orphans
from mmbench.leaderboard.verify.plausibility import implausible
from mmbench.leaderboard.verify.problems import ERROR, WARNING, Filed, Problem, Report
from mmbench.leaderboard.verify.together import implausible_together
from mmbench.results import ResultStore
from mmbench.verification import DIGEST

# The name that ResultStore gives: arm, digests of card and settings, seed.
NAME = re.compile(
    r"-(?P<card>[0-9a-f]{12})-(?P<config>[0-9a-f]{8})-seed(?P<seed>-?\d+)\.json$", re.IGNORECASE
)


def verify(results: Sequence[Path], now: datetime.datetime | None = None) -> Report:
    """Check the records below `results`, and change nothing.

    Args:
        results: folders of records.
        now: the present, which no record may be after; the clock's by default.

    Raises:
        UserError: a folder is missing, or nothing is in it.
    """
    present = datetime.datetime.now(datetime.UTC) if now is None else now
    records: list[Filed] = []
    problems: list[Problem] = []
    recomputed = 0
    for root in results:
        if not root.is_dir():
            raise UserError(f"no folder {root}; name the folder that holds the result records")
        found, invalid = ResultStore(root).read_all()
        problems += (Problem(ERROR, *_parts(error, root)) for error in invalid)
        own = [Filed(root, path, result) for path, result in found]
        records += own
        problems += orphans(_outcomes_below(root), {filed.name for filed in own})
    if not records and not problems:
        shown = ", ".join(map(str, results))
        raise UserError(f"no result records below {shown}; `mmbench transfer` writes them")
    for filed in records:
        computed, own_problems = check_record(filed, present)
        recomputed += computed
        problems += own_problems
    problems += implausible_together(records)
    if records:
        problems += _comparability(results)
    ordered = sorted(problems, key=lambda problem: (problem.level != ERROR, problem.file))
    return Report(len(records), recomputed, tuple(ordered))


def check_record(filed: Filed, now: datetime.datetime) -> tuple[bool, list[Problem]]:
    """Check one record and what lies beside it.

    Returns:
        Whether a metric was computed anew from its outcomes, and the problems.
    """
    problems = [Problem(level, filed.name, reason) for level, reason in implausible(filed.result, now)]
    problems += _digest(filed)
    problems += _path(filed)
    computed, of_outcomes = check_outcomes(filed)
    return computed, problems + of_outcomes


def _outcomes_below(root: Path) -> Iterator[str]:
    return (str(path) for path in sorted(root.rglob(f"*.{ENDING}")) if not path.name.startswith("."))


def _parts(error: UserError, root: Path) -> tuple[str, str]:
    """Return file and reason of an error of reading, which begins with the path."""
    match = re.match(r"(?P<file>.*?\.json)\b:? ?(?P<rest>.*)", str(error), re.IGNORECASE | re.DOTALL)
    return (match["file"], match["rest"]) if match else (str(root), str(error))


def _digest(filed: Filed) -> Iterable[Problem]:
    """Warn about a record without a digest: what was changed in it cannot be seen."""
    try:
        stated = DIGEST in json.loads(filed.path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return [Problem(ERROR, filed.name, "was changed while it was read")]
    reason = "has no digest of its content (an older version wrote it), so changes cannot be seen"
    return [] if stated else [Problem(WARNING, filed.name, reason)]


def _path(filed: Filed) -> Iterable[Problem]:
    """Compare the path of a record with its content."""
    proper = ResultStore(Path()).place_of(filed.result)
    if filed.path.parts[-3:] == proper.parts[-3:]:
        return []
    stated, wanted = NAME.search(filed.path.name), NAME.search(proper.name)
    if stated and wanted and (differing := [key for key in NAME.groupindex if stated[key] != wanted[key]]):
        words = {"card": "another card", "config": "other settings", "seed": "another seed"}
        named = " and ".join(words[key] for key in differing)
        return [
            Problem(ERROR, filed.name, f"its name is of {named} than its content, which belongs at {proper}")
        ]
    return [Problem(WARNING, filed.name, f"is not where a record of its content lies: {proper}")]


def _comparability(results: Sequence[Path]) -> Iterable[Problem]:
    """Say whether a board of these records would be refused, and what it would warn about."""
    shown = ", ".join(map(str, results))
    try:
        frame = comparable(load_frame(results, skip_invalid=True))
    except UserError as error:
        return [Problem(ERROR, shown, f"no board can be built: {error}")]
    return [Problem(WARNING, shown, sentence) for sentence in frame.attrs.get("warnings", ())]
