"""Add records that someone else sent to a results folder: checked, in their place, never over another."""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.leaderboard.verify.problems import ERROR, Filed, Problem
from mmbench.leaderboard.verify.records import check_record
from mmbench.leaderboard.verify.together import implausible_together
from mmbench.leftovers import scratch_file
from mmbench.records.image_outcomes import outcomes_path
from mmbench.records.store import ResultStore, read_result

SHOWN = 5  # errors in the message


@dataclass(frozen=True)
class Added:
    """What `add_records` did.

    Attributes:
        written: paths of the records that are new in the folder.
        known: records that were there already, or were given twice.
        completed: paths of the per-image outcomes that were missing beside records that were there already.
        warnings: what is unlikely about the new ones.
    """

    written: tuple[Path, ...]
    known: int
    warnings: tuple[Problem, ...]
    completed: tuple[Path, ...] = ()


def add_records(sources: Sequence[Path], to: Path, now: datetime.datetime | None = None) -> Added:
    """File records, with their per-image outcomes, where records of their content lie below `to`.

    Nothing is written unless everything can be. The files are copied as they are. Of a record that is there
    without the outcomes that it states, these are copied.

    Args:
        sources: records, and folders with records.
        now: the present, which no record may be after; the clock's by default.

    Raises:
        UserError: a source is no record or is wrong, another record of the same run is in the folder, or
            other outcomes lie where those of a record belong.
    """
    present = datetime.datetime.now(datetime.UTC) if now is None else now
    store = ResultStore(to)
    new: dict[Path, Filed] = {}
    without: dict[Path, Filed] = {}
    known, problems = 0, list[Problem]()
    for filed in _read(sources):
        target = store.place_of(filed.result)
        problems += (
            problem
            for problem in check_record(filed, present)[1]
            if problem.level == ERROR or "is not where" not in problem.reason
        )
        there = target not in new and target.exists()
        if there or target in new:
            _require_same(filed, target if there else new[target].path)
            known += 1
        else:
            new[target] = filed
        beside = outcomes_path(target)
        if os.path.lexists(beside):
            problems += _in_the_way(filed, beside, there)
        elif there and filed.result.outcomes is not None:
            without[beside] = filed
    already = _in_store(to)
    new_names = {filed.name for filed in new.values()}
    problems += (
        problem
        for problem in implausible_together([*already, *new.values()])
        if problem.file in new_names or any(name in problem.reason for name in new_names)
    )
    _refuse(problems, sources)
    for target, filed in new.items():
        if filed.result.outcomes is not None:
            _copy(outcomes_path(filed.path), outcomes_path(target))
        _copy(filed.path, target)
    for beside, filed in without.items():
        _copy(outcomes_path(filed.path), beside)
    return Added(tuple(new), known, tuple(problems), tuple(without))


def _read(sources: Sequence[Path]) -> list[Filed]:
    found: list[Filed] = []
    for source in sources:
        if source.is_dir():
            records, invalid = ResultStore(source).read_all()
            if invalid:
                raise UserError("; ".join(map(str, invalid[:SHOWN])) + _more(len(invalid)))
            if not records:
                raise UserError(
                    f"no result records below {source}; name a record, or a folder that holds some"
                )
            found += [Filed(source, path, result) for path, result in records]
        else:
            found.append(Filed(source.parent, source, read_result(source)))
    return found


def _in_store(to: Path) -> list[Filed]:
    """Return the records that are there; what cannot be read is no matter of the new ones."""
    return [Filed(to, path, result) for path, result in ResultStore(to).read_all()[0]] if to.is_dir() else []


def _require_same(filed: Filed, there: Path) -> None:
    """Refuse a record whose place another one has.

    Raises:
        UserError: the one that is there differs.
    """
    if read_result(there) != filed.result:
        raise UserError(
            f"{filed.path} is another record of the run that {there} holds already; records are never "
            "replaced, so remove that one if this one is right"
        )


def _in_the_way(filed: Filed, beside: Path, there: bool) -> list[Problem]:
    """Return an error if what lies where a record's per-image outcomes belong is not these.

    Args:
        there: whether the record is there already.
    """
    stated = filed.result.outcomes
    if beside.is_file() and (there if stated is None else sha256_of(beside) == stated.sha256):
        return []
    what = "is not what its record was written with" if there else "is left over without its record"
    return [Problem(ERROR, str(beside), f"{what}, and is in the way of {filed.name}; remove it")]


def _refuse(problems: list[Problem], sources: Sequence[Path]) -> None:
    errors = [problem for problem in problems if problem.level == ERROR]
    if errors:
        listing = "; ".join(f"{problem.file}: {problem.reason}" for problem in errors[:SHOWN])
        shown = ", ".join(map(str, sources[:SHOWN]))
        raise UserError(f"nothing of {shown} was added: {listing}{_more(len(errors))}")


def _more(count: int) -> str:
    return f" and {count - SHOWN} more" if count > SHOWN else ""


def _copy(source: Path, target: Path) -> None:
    """Copy a file to where none is; another process that writes the same place at once is not overwritten.

    Raises:
        UserError: another file appeared there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_file(target) as temporary:
        shutil.copyfile(source, temporary)
        temporary.chmod(0o644)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        try:
            os.link(temporary, target)
        except FileExistsError:
            if sha256_of(source) != sha256_of(target):
                raise UserError(
                    f"another process wrote {target} meanwhile; run the same command again"
                ) from None
