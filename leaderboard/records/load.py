"""Result records from folders and files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmbench.errors import UserError
from mmbench.file_names import counted, listed
from mmbench.leaderboard.records.frame import frame_of
from mmbench.offered import command_has
from mmbench.records.store import Result, ResultStore, read_result

__all__ = ["Place", "frame_of", "frame_of_places", "load_frame", "read_place"]


@dataclass(frozen=True)
class Place:
    """What was read from a folder of records, or from the file of one.

    Attributes:
        root: the folder or file.
        invalid: what is wrong with each file that is not a record.
    """

    root: Path
    records: Sequence[tuple[Path, Result]]
    invalid: Sequence[UserError]

    def named(self) -> Iterator[tuple[str, str, Result]]:
        """Yield (path below the folder, absolute path, record) of every record."""
        if not self.root.is_dir():
            for path, record in self.records:
                yield path.name, str(path.absolute()), record
            return
        above = "" if self.root == Path() else f"{self.root}/".replace("//", "/")
        absolute = f"{self.root.absolute()}/".replace("//", "/")
        for path, record in self.records:
            inside = str(path).removeprefix(above)
            yield inside, absolute + inside, record


def load_frame(results: Path | Sequence[Path], *, skip_invalid: bool = False) -> pd.DataFrame:
    """Read every record below the folders `results`; see `frame_of` for the columns.

    A file of one record may be named as well. The same record in two places that are named counts once;
    `frame.attrs["warnings"]` says so.

    Args:
        skip_invalid: leave out files that are not records; `frame.attrs["skipped"]` has a line for each.

    Raises:
        UserError: a folder is missing or holds no record, or files in it are not records: a line for each.
    """
    named = [results] if isinstance(results, Path) else list(results)
    if not named:
        raise UserError("no folder of result records is named; `mmbench transfer` writes them")
    places = []
    for path in named:
        places.append(place := read_place(path))
        if not place.records and not place.invalid:
            raise UserError(f"no result records below {path}; `mmbench transfer` writes them")
    invalid = [error for place in places for error in place.invalid]
    if invalid and not skip_invalid:
        raise _refusal(invalid)
    frame = frame_of_places(places)
    frame.attrs["skipped"] = tuple(map(str, invalid))
    return frame


def frame_of_places(places: Sequence[Place]) -> pd.DataFrame:
    """Return the records that were read from several places as a frame; see `load_frame`.

    Raises:
        UserError: there is none.
    """
    pairs: list[tuple[str, Result]] = []
    paths: list[str] = []
    again: list[str] = []
    seen: set[Path] = set()
    first: dict[str, Result] = {}  # by the path below its folder, which is the identity of a record
    for place, prefix in zip(places, _prefixes([place.root for place in places]), strict=True):
        for inside, path, record in place.named():
            if len(places) > 1:  # one folder gives each file once
                if (real := Path(path).resolve()) in seen or first.get(inside) == record:
                    again.append(prefix + inside)
                    continue
                seen.add(real)
                first.setdefault(inside, record)
            pairs.append((prefix + inside, record))
            paths.append(path)
    if not pairs:
        raise UserError(
            f"no result records below {listed([str(place.root) for place in places])}; "
            "`mmbench transfer` writes them"
        )
    frame = frame_of(pairs, paths)
    if again:
        frame.attrs["warnings"] = (
            f"{counted(len(again), 'record')} of several folders counted once: {listed(again)}.",
        )
    return frame


def read_place(path: Path) -> Place:
    """Read the records below a folder, or the file of one.

    Raises:
        UserError: there is no such folder or file, or a file is named that is no record by its name.
    """
    if not path.exists():
        raise UserError(f"no folder {path}; `mmbench transfer` writes records, into results/ by default")
    if path.is_dir():
        return Place(path, *ResultStore(path).read_all())
    if path.suffix.lower() != ".json":
        raise UserError(f"{path} is a file, but not of a result record; name a folder of them")
    try:
        return Place(path, [(path, read_result(path))], [])
    except UserError as error:
        return Place(path, [], [error])


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
    """Return one error that lists every file that is not a record.

    It names --skip-invalid where the command that runs has that option.
    """
    can_skip = command_has("skip_invalid")
    if len(invalid) == 1:
        return UserError(f"{invalid[0]}{', or leave it out by --skip-invalid' if can_skip else ''}")
    lines = "; ".join(f"({place}) {error}" for place, error in enumerate(invalid, start=1))
    advice = "; --skip-invalid leaves them out" if can_skip else ""
    return UserError(f"{len(invalid)} files are not result records{advice}: {lines}")
