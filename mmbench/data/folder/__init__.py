"""Image folders: one folder per class, or images without labels."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.folder.classes import LABEL_MAPS
from mmbench.data.folder.layout import (
    FolderLayout,
    SplitFolders,
    recognise,
    training_folders,
)
from mmbench.data.folder.scan import Folder, is_system_name, scan
from mmbench.data.names import absent
from mmbench.data.subsets import split_by_class
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError
from mmbench.file_names import IMAGE_ENDINGS, counted, printable

IMAGE_SIZE = 32
HELD_OUT_SHARE = 0.15
UNLABELLED = ("unlabelled",)


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders, sorted; hidden and system folders are none.

    Raises:
        UserError: the folder is missing, or has no folder with images in it.
    """
    if not folder.is_dir():
        raise absent(folder)
    names = class_folders(folder)
    if not names:
        raise UserError(f"{printable(folder)} has no class folders; it needs one folder of images per class")
    return names


def class_folders(folder: Path) -> tuple[str, ...]:
    """Return the names of the folders in a folder, sorted, without hidden and system folders."""
    return tuple(
        sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not is_system_name(entry.name))
    )


def files_directly_in(folder: Path, endings: tuple[str, ...] = IMAGE_ENDINGS) -> list[str]:
    """Return the names of files directly in a folder that end like images, sorted; hidden ones are left out.

    Args:
        endings: others to look for, in lower case.
    """
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(endings) and not is_system_name(entry.name) and not entry.is_dir()
        )


def image_files(folder: Path, classes: Sequence[str]) -> ImageFiles:
    """Return the images of `folder`/{class}/ in the order of classes and names.

    Raises:
        UserError: a class folder is missing or holds no image.
    """
    paths: list[str] = []
    labels: list[int] = []
    for index, name in enumerate(classes):
        place = folder / name
        found = list(scan(place, keep_empty=True)[0].below()) if place.is_dir() else []
        if not found:
            raise UserError(
                f"class '{printable(name)}' has no images in {printable(place)}; "
                "add some or remove the folder"
            )
        paths += [f"{name}/{path}" for path in found]
        labels += [index] * len(found)
    return ImageFiles(folder, paths, torch.tensor(labels, dtype=torch.int64))


def carve(files: ImageFiles, splits: Sequence[str], share: float) -> dict[str, ImageFiles]:
    """Return `splits` carved class by class; all but the first take `share` each, and at least one image.

    What is held out depends on nothing but the number of images per class.
    """
    parts = split_by_class(files.labels, [share] * (len(splits) - 1), seed=0)
    return {split: files.subset(part) for split, part in zip(splits, parts, strict=True)}


def load_folder(
    root: Path, image_size: int = IMAGE_SIZE, name: str | None = None, *, labelled: bool = True
) -> Dataset:
    """Return an image folder as a data set; see `folder_layout` for what is recognised.

    With train, val and test folders those are the splits. With train and one other, the other is what is
    tested on, and 15% of each class of train are held out as val. With train alone, or with class folders
    at once, each class is split 70/15/15. Images that lie in `root` itself have no labels: all are train.

    Args:
        name: of the data set; the folder's own by default.
        labelled: whether labels are needed. If not, images that give no clear labels are all train.

    Raises:
        UserError: missing folder, no images, an empty class, classes that differ between splits, a layout
            that could be read in two ways.
    """
    top, left_out = scan(root)
    name = name or printable(root.resolve().name)
    if top.images and not top.filled():
        return _unlabelled(name, root, [top], image_size, [left_out.in_words()])
    if labelled:
        return _of_layout(name, recognise(root, top, left_out), image_size)
    try:
        layout = recognise(root, top, left_out)
        found = _of_layout(name, layout, image_size)
        found.labels("train")  # a class may be too small to be split
        reason = "" if len(layout.classes) > 1 else "they are not sorted by class"
    except UserError as error:
        reason = str(error)
    folders, reading = training_folders(root, top, left_out)
    if not reason:
        if sum(folder.total() for folder in folders) == len(_files(root, layout.splits["train"])):
            return found
        reason = "images lie beside the folders"
    return _unlabelled(
        name, root, folders, image_size, [*reading.remarks, reading.left_out.in_words()], reason
    )


@DATASETS.register("folder")
def load_labelled_folder(root: Path) -> Dataset:
    """Return an image folder with labels; see `load_folder`."""
    return load_folder(root)


def _unlabelled(
    name: str,
    root: Path,
    folders: Sequence[Folder],
    image_size: int,
    remarks: Sequence[str],
    reason: str = "",
) -> Dataset:
    """Return all images in `folders` as train, without labels.

    Args:
        reason: why labels are not used, where there might be some.
    """
    base = folders[0].path if len(folders) == 1 else ""
    paths = _relative((path for folder in folders for path in folder.below()), base)
    files = ImageFiles(root / base, paths, torch.zeros(len(paths), dtype=torch.int64))
    lines = [f"all {counted(len(paths), 'image')} below {printable(root / base)} are used, without labels"]
    if reason:
        lines[0] += f" ({reason})"
    doubtful = [path for path in paths if LABEL_MAPS.intersection(path.casefold().split("/")[:-1])]
    if doubtful:
        lines.append(
            f"{len(doubtful)} of them lie in folders named like label maps or thumbnails "
            f"({printable(doubtful[0])}); move those elsewhere if they are not to be learned from"
        )
    return Dataset(
        name,
        root,
        UNLABELLED,
        image_size=image_size,
        files={"train": lambda: files},
        remarks=tuple(line for line in (*remarks, *lines) if line),
    )


def _relative(paths: Iterable[str], base: str) -> list[str]:
    skipped = len(base) + 1 if base else 0
    return [path[skipped:] for path in paths]


def _of_layout(name: str, layout: FolderLayout, image_size: int) -> Dataset:
    """Return the data set of a layout, with the splits that it lacks carved out of train."""
    whole = {split: functools.partial(_files, layout.root, part) for split, part in layout.splits.items()}
    others = [split for split in whole if split != "train"]
    files: dict[str, Callable[[], ImageFiles]] = dict(whole.items())
    remarks = list(layout.remarks)
    if not others:
        carved = carve(whole["train"](), ("train", "val", "test"), HELD_OUT_SHARE)
        files = {split: functools.partial(carved.__getitem__, split) for split in carved}
        what = "only train folders" if layout.named else "no split folders"
        remarks.append(f"{what}: 70% of the images of each class are train, 15% val and 15% test")
    elif len(others) == 1:
        files = {**carved_from(whole["train"], HELD_OUT_SHARE), "test": whole[others[0]]}
        missing = "no val folder" if others == ["test"] else "no test folder: the val folder is tested on"
        remarks.append(f"{missing}; 15% of the images of each class of train are val")
    remarks.append(layout.left_out.in_words())
    return Dataset(
        name,
        layout.root,
        layout.classes,
        image_size=image_size,
        files=files,
        remarks=tuple(line for line in remarks if line),
    )


def _files(root: Path, split: SplitFolders) -> ImageFiles:
    """Return the images of one split in the order of classes and names."""
    paths: list[str] = []
    labels: list[int] = []
    for index, folders in enumerate(split.classes):
        before = len(paths)
        paths += _relative((path for folder in folders for path in folder.below()), split.base)
        labels += [index] * (len(paths) - before)
    return ImageFiles(root / split.base, paths, torch.tensor(labels, dtype=torch.int64))


def carved_from(find: Callable[[], ImageFiles], share: float) -> dict[str, functools.partial[ImageFiles]]:
    """Return finders of train and of val, which takes `share` of each class; nothing is listed before."""

    @functools.lru_cache(maxsize=1)
    def parts() -> dict[str, ImageFiles]:
        return carve(find(), ("train", "val"), share)

    return {split: functools.partial(lambda part: parts()[part], split) for split in ("train", "val")}
