"""Class folders: which folders of one split are classes, and what makes them doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mmbench.data.folder.scan import Folder, LeftOut
from mmbench.errors import UserError
from mmbench.file_names import IMAGE_ENDINGS, composed, counted, listed, printable

LOOSE = "images beside folders"
# Folders that hold something about images and not images of a class, in lower case.
LABEL_MAPS = frozenset(
    {
        *("masks", "segmentation", "segmentations", "segmentationclass"),
        *("annotations", "annotation", "labels", "gt", "ground_truth", "groundtruth"),
        *("ground-truth", "depth", "thumbnails", "thumbs", "previews"),
    }
)
IMAGES = frozenset(
    {
        *("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "data", "raw"),
        *("inputs", "input"),
    }
)


@dataclass
class Reading:
    """A layout while it is being understood."""

    root: Path
    left_out: LeftOut
    remarks: list[str] = field(default_factory=list)

    def place(self, folder: Folder) -> str:
        """Return where a folder is, for people."""
        return printable(self.root / folder.path)


class ClassFolders:
    """Class folders by name, compared in composed form (NFC): macOS and Linux spell accents differently."""

    def __init__(self) -> None:
        self._folders: dict[str, list[Folder]] = {}
        self._spellings: dict[str, list[str]] = {}

    def add(self, name: str, folder: Folder) -> None:
        """Add a folder that holds images of the class `name`."""
        key = composed(name)
        self._folders.setdefault(key, []).append(folder)
        spellings = self._spellings.setdefault(key, [])
        if name not in spellings:
            spellings.append(name)

    def join(self, other: ClassFolders) -> None:
        """Add the folders of `other`."""
        for key, folders in other._folders.items():
            for name in other._spellings[key]:
                self.add(name, folders[0])

    def keys(self) -> list[str]:
        """Return the classes in composed form, in the order of their names on disk."""
        return sorted(self._folders, key=lambda key: min(self._spellings[key]))

    def names(self) -> list[str]:
        """Return what each class is called, printable, in the order of `keys`."""
        return [
            printable(self._spellings[key][0] if len(self._spellings[key]) == 1 else key)
            for key in self.keys()
        ]

    def of(self, key: str) -> list[Folder]:
        """Return the folders of one class."""
        return self._folders[key]

    def remarks(self) -> list[str]:
        """Return a line for classes in two spellings, and one for classes that differ in case alone."""
        lines = []
        twice = [key for key, names in self._spellings.items() if len(names) > 1]
        if twice:
            lines.append(
                f"{counted(len(twice), 'class')} in two Unicode spellings, read as one: {listed(twice)}"
            )
        seen: dict[str, str] = {}
        for key in self.keys():
            other = seen.setdefault(_plain(key), key)
            if other != key:
                lines.append(
                    f"classes '{printable(other)}' and '{printable(key)}' differ in case or blanks alone; "
                    "they are two classes"
                )
        return lines


def class_folders(folder: Folder, reading: Reading) -> ClassFolders:
    """Return the class folders in `folder`.

    Raises:
        UserError: there are none; one has no images; most images lie beside them; folders that hold label
            maps; classes that all hold the same sub-folders.
    """
    found = [inner for inner in folder.folders if _counts(inner, reading)]
    place = reading.place(folder)
    if not found:
        what = reading.left_out.in_words()
        loose = f"but {counted(len(folder.images), 'image')} at once" if folder.images else "and no images"
        raise UserError(
            f"{place} has no class folders {loose}; it needs one folder of images per class"
            f"{f' ({what})' if what else ''}"
        )
    for inner in found:
        if not inner.total():
            held = " but other files" if inner.holds_other_files() else ""
            raise UserError(
                f"class '{printable(inner.name)}' has no images in {reading.place(inner)}{held}; "
                "add some or remove the folder"
            )
    inside = sum(inner.total() for inner in found)
    if len(folder.images) > inside:
        raise UserError(
            f"{counted(len(folder.images), 'image')} in {place} lie beside {counted(len(found), 'folder')} "
            f"({listed([inner.name for inner in found])}), {inside} images in all: "
            "they are not classes; "
            "move the images into class folders, or the folders elsewhere"
        )
    for name in folder.images:
        reading.left_out.add(LOOSE, f"{folder.path}/{name}" if folder.path else name)
    _refuse_label_maps(found, place, reading)
    _refuse_same_folders(found, place)
    _say_nested(found, reading)
    classes = ClassFolders()
    for inner in found:
        classes.add(inner.name, inner)
    return classes


def _counts(folder: Folder, reading: Reading) -> bool:
    """Return whether a folder is meant as a class: not if it is empty and named like a file."""
    if folder.total() or PurePosixPath(folder.name).suffix.lower() not in IMAGE_ENDINGS:
        return True
    reading.left_out.add("empty folders with an image's name", f"{folder.path}/")
    return False


def _refuse_label_maps(found: Sequence[Folder], place: str, reading: Reading) -> None:
    maps = [inner.name for inner in found if inner.name.casefold() in LABEL_MAPS]
    if not maps:
        return
    if any(inner.name.casefold() in IMAGES for inner in found):
        raise UserError(
            f"{place} holds {listed([inner.name for inner in found])}: images and what belongs to them, not "
            "classes; give the folder of class folders"
        )
    reading.remarks.append(
        f"{listed(maps)} is read as a class; move the folder elsewhere if it holds label maps or thumbnails"
    )


def _refuse_same_folders(found: Sequence[Folder], place: str) -> None:
    """Refuse folders that all hold the same folders, as either level can be that of the classes."""
    if len(found) < 2 or any(inner.images for inner in found):
        return
    inside = [{composed(below.name) for below in inner.filled()} for inner in found]
    common, every = set.intersection(*inside), set.union(*inside)
    if len(common) >= 2 and 2 * len(common) >= len(every):
        raise UserError(
            f"{listed([inner.name for inner in found])} in {place} all hold the same folders "
            f"({listed(sorted(common))}): either could be the classes; keep one level of folders, or name "
            "the splits train, val and test"
        )


def _say_nested(found: Sequence[Folder], reading: Reading) -> None:
    """Report that folders inside class folders are not classes themselves."""
    nested = [below for inner in found for below in inner.filled()]
    names = {below.name for below in nested}
    if nested and not (len(names) == 1 and len(nested) == len(found)):  # n01440764/images/ says nothing
        count = sum(below.total() for below in nested)
        reading.remarks.append(
            f"{counted(count, 'image')} in {counted(len(nested), 'folder')} inside class folders "
            f"({listed([below.path for below in nested])}) belong to the class above"
        )


def require_same_classes(train: ClassFolders, other: ClassFolders, train_place: str, place: str) -> None:
    """Check that a split has the classes of train.

    Args:
        train_place, place: where the two are, for people.

    Raises:
        UserError: it has not; a difference in case alone is called that.
    """
    known, found = set(train.keys()), set(other.keys())
    missing, added = sorted(known - found), sorted(found - known)
    if not missing and not added:
        return
    if sorted(map(_plain, missing)) == sorted(map(_plain, added)):
        pairs = zip(sorted(missing, key=_plain), sorted(added, key=_plain), strict=True)
        raise UserError(
            f"{place} and {train_place} differ in classes by case or blanks alone: "
            f"{listed([f'{here!r} for {there!r}' for there, here in pairs])}; rename them alike"
        )
    parts = ((place, added), (train_place, missing))
    only = [f"only in {where}: {listed(names)}" for where, names in parts if names]
    raise UserError(
        f"{place} and {train_place} differ in classes: {listed(sorted([*missing, *added]), 5)} "
        f"({'; '.join(only)}); rename the folders alike, or remove those of one split"
    )


def _plain(name: str) -> str:
    return name.casefold().strip()
