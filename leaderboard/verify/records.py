"""Verify a results folder: every record, what lies beside it, and all of them together."""

from __future__ import annotations

import datetime
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mmbench.errors import UserError
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.load import Place, frame_of_places, read_place
from mmbench.leaderboard.verify.outcomes import check_outcomes, orphans
from mmbench.leaderboard.verify.plausibility import implausible
from mmbench.leaderboard.verify.problems import ERROR, WARNING, Filed, Problem, Report
from mmbench.leaderboard.verify.together import implausible_together
from mmbench.records.image_outcomes import ENDING
from mmbench.records.store import ResultStore
from mmbench.verification import DIGEST

# The name that ResultStore gives: arm, digests of card and settings, seed.
NAME = re.compile(
    r"-(?P<card>[0-9a-f]{12})-(?P<config>[0-9a-f]{8})-seed(?P<seed>-?\d+)\.json$", re.IGNORECASE
)
# The end of a file that states its digest, as records are written.
STATED = re.compile(rb'"' + DIGEST.encode() + rb'": "[0-9a-f]{64}"\s*\}\s*$')


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
    places: list[Place] = []
    for root in results:
        if not root.is_dir():
            raise UserError(f"no folder {root}; name the folder that holds the result records")
        places.append(read_place(root))
        problems += (Problem(ERROR, *_parts(error, root)) for error in places[-1].invalid)
        own = [Filed(root, path, result) for path, result in places[-1].records]
        records += own
        problems += orphans(_outcomes_below(root), {filed.name for filed in own})
    if not records and not problems:
        shown = ", ".join(map(str, results))
        raise UserError(f"no result records below {shown}; `mmbench transfer` writes them")
    empty = (place for place in places if not place.records and not place.invalid)
    problems += (Problem(WARNING, str(place.root), "holds no result records") for place in empty)
    recomputed = without = 0
    others: Counter[str] = Counter()
    for filed in records:
        computed, own_problems = check_record(filed, present)
        problems += own_problems
        if computed is None:
            without += 1
        else:
            recomputed += bool(computed)
            others.update(filed.result.metrics.keys() - computed)
    problems += implausible_together(records)
    if records:
        problems += _comparability([place for place in places if place.records])
    ordered = sorted(problems, key=lambda problem: (problem.level != ERROR, problem.file))
    return Report(len(records), recomputed, without, tuple(sorted(others.items())), tuple(ordered))


def check_record(filed: Filed, now: datetime.datetime) -> tuple[frozenset[str] | None, list[Problem]]:
    """Check one record and what lies beside it.

    Returns:
        The metrics that were computed anew from its outcomes, None without such; and the problems.
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
        content = filed.path.read_bytes()
        stated = STATED.search(content[-200:]) is not None or DIGEST in json.loads(content)
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


def _comparability(places: Sequence[Place]) -> Iterable[Problem]:
    """Say whether a board of these records would be refused, and what it would warn about."""
    shown = ", ".join(str(place.root) for place in places)
    try:
        frame = comparable(frame_of_places(places))
    except UserError as error:
        return [Problem(ERROR, shown, f"no board can be built: {error}")]
    return [Problem(WARNING, shown, sentence) for sentence in frame.attrs.get("warnings", ())]
