"""Result records from folders and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mmbench.errors import UserError
from mmbench.file_names import counted, listed
from mmbench.leaderboard.records.frame import frame_of
from mmbench.results import Result, ResultStore, read_result

__all__ = ["frame_of", "load_frame"]


def load_frame(results: Path | Sequence[Path], *, skip_invalid: bool = False) -> pd.DataFrame:
    """Read every record below the folders `results`; see `frame_of` for the columns.

    A file of one record may be named as well. The same record in two places that are named counts once;
    `frame.attrs["warnings"]` says so.

    Args:
        skip_invalid: leave out files that are not records; `frame.attrs["skipped"]` has a line for each.

    Raises:
        UserError: a folder is missing or holds no record, or files in it are not records: a line for each.
    """
    places = [results] if isinstance(results, Path) else list(results)
    if not places:
        raise UserError("no folder of result records is named; `mmbench transfer` writes them")
    pairs: list[tuple[str, Result]] = []
    paths: list[str] = []
    invalid: list[UserError] = []
    again: list[str] = []
    seen: set[Path] = set()
    first: dict[str, Result] = {}  # by the path below its folder, which is the identity of a record
    for place, prefix in zip(places, _prefixes(places), strict=True):
        found, faulty = _read(place)
        invalid += faulty
        for inside, path, record in found:
            if len(places) > 1:  # one folder gives each file once
                if (real := Path(path).resolve()) in seen or first.get(inside) == record:
                    again.append(prefix + inside)
                    continue
                seen.add(real)
                first.setdefault(inside, record)
            pairs.append((prefix + inside, record))
            paths.append(path)
    if invalid and not skip_invalid:
        raise _refusal(invalid)
    if not pairs:
        raise UserError(
            f"no result records below {listed([str(place) for place in places])}; "
            "`mmbench transfer` writes them"
        )
    frame = frame_of(pairs, paths)
    frame.attrs["skipped"] = tuple(map(str, invalid))
    if again:
        frame.attrs["warnings"] = (
            f"{counted(len(again), 'record')} of several folders counted once: {listed(again)}.",
        )
    return frame


def _read(place: Path) -> tuple[list[tuple[str, str, Result]], list[UserError]]:
    """Return (path below the folder, absolute path, record) of every record at a place, and other files."""
    if not place.exists():
        raise UserError(f"no folder {place}; `mmbench transfer` writes records, into results/ by default")
    if place.is_dir():
        records, invalid = ResultStore(place).read_all()
        if not records and not invalid:
            raise UserError(f"no result records below {place}; `mmbench transfer` writes them")
        above = "" if place == Path() else f"{place}/".replace("//", "/")
        absolute = f"{place.absolute()}/".replace("//", "/")
        inside = [str(path).removeprefix(above) for path, _ in records]
        return [
            (name, absolute + name, found) for name, (_, found) in zip(inside, records, strict=True)
        ], invalid
    if place.suffix.lower() != ".json":
        raise UserError(f"{place} is a file, but not of a result record; name a folder of them")
    try:
        return [(place.name, str(place.absolute()), read_result(place))], []
    except UserError as error:
        return [], [error]


def _prefixes(places: Sequence[Path]) -> list[str]:
    """Return what stands before the paths of each place's records, so that no two are equal.

    It is empty for a single place, else the shortest end of its path that tells it from the others.
    """
    if len(places) == 1:
        return [""]
    parts = [(place.absolute() if place.is_dir() else place.absolute().parent).parts for place in places]
    for length in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(part[-length:]).lstrip("/") for part in parts]
        if len(set(ends)) == len(set(parts)):
            return [f"{end}/" for end in ends]
    raise AssertionError("different folders have different paths")


def _refusal(invalid: Sequence[UserError]) -> UserError:
    """Return one error that lists every file that is not a record."""
    if len(invalid) == 1:
        return UserError(f"{invalid[0]}, or leave it out by --skip-invalid")
    lines = "; ".join(f"({place}) {error}" for place, error in enumerate(invalid, start=1))
    return UserError(f"{len(invalid)} files are not result records; --skip-invalid leaves them out: {lines}")
