"""Which folder holds the images of a COCO file: that of its split, and never one that is as likely as others.

Folders are ranked by their names, and the best rank with some of the file's first images is taken. A folder
of another split is not: splits often number their images alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mmbench.data.annotated.coco_json import file_names
from mmbench.data.folder.classes import IMAGES, LABEL_MAPS
from mmbench.data.folder.scan import is_system_name
from mmbench.data.folder.split_names import splits_among
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable

NAMES_LOOKED_FOR = 8
EVALUATED = ("val", "test")
IMAGE_FOLDERS = IMAGES | {"pngimages"}
# Ranks: named as the split, meaning it, meaning it beside its neighbours, beside the file, called "images",
# the data set itself, others, and those that are called like label maps.
EXACT, MEANT, MEANT_AMONG, BESIDE, NAMED_IMAGES, TOP, OTHER, NAMED_MAPS = range(8)


@dataclass(frozen=True)
class CocoFiles:
    """The COCO files of a data set.

    Attributes:
        root: folder of the data set.
        paths: name of a split, as the files call it -> its file; "" if no split is named.
        meanings: name of a split -> the split that it means.
    """

    root: Path
    paths: Mapping[str, Path]
    meanings: Mapping[str, Split]
    _listed: dict[Path, dict[Path, frozenset[Split]]] = field(default_factory=dict, repr=False, compare=False)

    def folders(self, folder: Path) -> Mapping[Path, frozenset[Split]]:
        """Return the folders in a folder, each with the splits that its name may mean; "eval" is val or test.

        A name means a split by itself, or beside the others.
        """
        if folder not in self._listed:
            entries = [entry for entry in sorted(folder.iterdir()) if entry.is_dir()]
            inner = [entry for entry in entries if not is_system_name(entry.name)]
            names = [entry.name for entry in inner]
            together = [splits_among([*names, other]) for other in EVALUATED]
            self._listed[folder] = {
                entry: frozenset(
                    split
                    for meanings in (*together, *(splits_among([entry.name, other]) for other in EVALUATED))
                    if (split := meanings.get(entry.name)) is not None
                )
                for entry in inner
            }
        return self._listed[folder]

    def meant(self, folder: Path) -> frozenset[Split]:
        """Return the splits that a folder may be of, by its name or that of the nearest folder around it."""
        while folder != self.root:
            if found := self.folders(folder.parent).get(folder):
                return found
            folder = folder.parent
        return frozenset()


@dataclass(frozen=True)
class _Place:
    """A folder, and its rank; None if it is of another split."""

    folder: Path
    rank: int | None


def image_folder(files: CocoFiles, split: str) -> tuple[Path, str]:
    """Return the folder with the images of one file, and a remark if that is not where they belong.

    Args:
        split: as the files call it.

    Raises:
        UserError: the images are in several folders, none of which is the likeliest.
    """
    path = files.paths[split]
    names = list(islice(file_names(path), NAMES_LOOKED_FOR))
    places = _places(files, split)
    usable = [place for place in places if place.rank is not None]
    for wanted in (names, [name.rpartition("/")[2] for name in names]):
        if (best := _best(usable, wanted, files, split)) is not None:
            return best, ""
        others = [place.folder for place in places if place.rank is None]
        belongs = any(place.rank is not None and place.rank <= MEANT_AMONG for place in places)
        for folder in () if belongs else others:
            if _shared(files, split, folder, wanted):
                below = printable(folder.relative_to(files.root))
                return folder, f"images of {path.name} are read from {below}, as no folder is of {split}"
    # Moved or missing images: where they belong, to be looked for there.
    likeliest = [place for place in usable if place.rank in (EXACT, MEANT, MEANT_AMONG, NAMED_IMAGES)]
    return min(likeliest, key=lambda place: place.rank or 0).folder if likeliest else path.parent, ""


def _best(places: list[_Place], names: list[str], files: CocoFiles, split: str) -> Path | None:
    """Return the folder of the best rank that has some of the images, None if no folder has one.

    Raises:
        UserError: several do, and not exactly one of them has all.
    """
    hits = {place: sum(_is_file(place.folder, name) for name in names) for place in places}
    ranks = [place.rank for place in places if hits[place] and place.rank is not None]
    if not ranks:
        return None
    found = [place for place in places if hits[place] and place.rank == min(ranks)]
    complete = [place for place in found if hits[place] == len(names)]
    chosen = complete if len(complete) == 1 else found
    if len(chosen) > 1:
        first, second = (printable(place.folder.relative_to(files.root)) for place in chosen[:2])
        called = f"call one of them {printable(split)}" if split else "name the file after its split"
        called = "keep one of them" if chosen[0].rank == EXACT else called
        raise UserError(
            f"images of {printable(files.paths[split])} are in {first} and in {second}, and it is unclear "
            f"which are meant; {called}, or write the folder into each file_name"
        )
    return chosen[0].folder


def _shared(files: CocoFiles, split: str, folder: Path, names: list[str]) -> bool:
    """Return whether a folder of another split has the images of this one too: all that are looked for are
    there, and the file of the other split lists none of this file's images.
    """
    if not names or not all(_is_file(folder, name) for name in names):
        return False
    meant = files.meant(folder)
    others = [
        path for name, path in files.paths.items() if name != split and files.meanings.get(name) in meant
    ]
    own = {name.rpartition("/")[2] for name in file_names(files.paths[split])}
    listed = (name.rpartition("/")[2] for path in others for name in file_names(path))
    return bool(others) and own.isdisjoint(listed)


def _places(files: CocoFiles, split: str) -> list[_Place]:
    """Return the folders that images are looked for in, each once."""
    root, beside = files.root, files.paths[split].parent
    folders = [beside, root]
    for inner, meant in files.folders(root).items():
        folders.append(inner)
        named_images = inner.name.lower() in IMAGE_FOLDERS
        folders += [
            entry
            for entry in files.folders(inner)
            if named_images or (meant and entry.name.lower() in IMAGE_FOLDERS)
        ]
    found: dict[Path, _Place] = {}
    for folder in folders:
        found.setdefault(folder.resolve(), _Place(folder, _rank(files, split, folder)))
    return list(found.values())


def _rank(files: CocoFiles, split: str, folder: Path) -> int | None:
    parts = folder.relative_to(files.root).parts
    if split and split in parts:
        return EXACT
    meant = files.meant(folder)
    if split and meant:
        if files.meanings.get(split) not in meant:
            return None
        return MEANT if any(splits_among([part]) for part in parts) else MEANT_AMONG
    if folder == files.paths[split].parent:
        return BESIDE
    name = folder.name.lower()
    if not parts:
        return TOP
    return NAMED_IMAGES if name in IMAGE_FOLDERS else NAMED_MAPS if name in LABEL_MAPS else OTHER


def _is_file(folder: Path, name: str) -> bool:
    try:
        return (folder / name).is_file()
    except OSError:  # a name that is too long
        return False
