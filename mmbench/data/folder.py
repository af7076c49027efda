"""Image folders: one folder per class, or pictures without labels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torchvision.datasets.folder import IMG_EXTENSIONS

from mmbench.data.dataset import DATASETS, Dataset, PictureFiles
from mmbench.data.pictures import dataset_of_files
from mmbench.data.subsets import split_by_class
from mmbench.errors import UserError

IMAGE_SIZE = 32
HELD_OUT_SHARE = 0.15
UNLABELLED = ("unlabelled",)


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders, sorted.

    Raises:
        UserError: the folder is missing, or has no folder with pictures in it.
    """
    if not folder.is_dir():
        raise UserError(f"no data folder at {folder}; check the path and --data-root")
    names = tuple(sorted(entry.name for entry in folder.iterdir() if _is_class(entry)))
    if not names:
        raise UserError(f"{folder} has no class folders; it needs one folder of pictures per class")
    return names


def _is_class(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _is_picture(entry: Path) -> bool:
    return entry.suffix.lower() in IMG_EXTENSIONS and not entry.name.startswith(".")


def picture_files(folder: Path, classes: Sequence[str]) -> PictureFiles:
    """Return the pictures of `folder`/{class}/ in the order of classes and names.

    Raises:
        UserError: a class folder is missing or holds no picture.
    """
    paths: list[str] = []
    labels: list[int] = []
    for index, name in enumerate(classes):
        found = sorted(path for path in (folder / name).rglob("*") if _is_picture(path))
        if not found:
            raise UserError(
                f"class '{name}' has no pictures in {folder / name}; add some or remove the folder"
            )
        paths += [path.relative_to(folder).as_posix() for path in found]
        labels += [index] * len(found)
    return PictureFiles(folder, paths, torch.tensor(labels, dtype=torch.int64))


def carve(files: PictureFiles, splits: Sequence[str], share: float) -> dict[str, PictureFiles]:
    """Return `splits` carved class by class; all but the first take `share` each, and at least one picture.

    What is held out depends on nothing but the number of pictures per class.
    """
    parts = split_by_class(files.labels, [share] * (len(splits) - 1), seed=0)
    return {split: files.subset(part) for split, part in zip(splits, parts, strict=True)}


def _unlabelled(root: Path) -> PictureFiles:
    """Return the pictures of a folder without class folders; none where there are class folders."""
    nested = not root.is_dir() or any(_is_class(entry) for entry in root.iterdir())
    paths = [] if nested else sorted(path.name for path in root.iterdir() if _is_picture(path))
    return PictureFiles(root, paths, torch.zeros(len(paths), dtype=torch.int64))


@DATASETS.register("folder")
def load_folder(root: Path, image_size: int = IMAGE_SIZE, name: str | None = None) -> Dataset:
    """Return an image folder as a data set.

    With `train`, `val` and `test` below `root` those are the splits. With only `train` and `val`, `val` is
    what is tested on, and 15% of each class of `train` are held out as val. Without any of them, each
    class is split 70/15/15. Pictures that lie in `root` itself have no labels: all are train.

    Args:
        name: of the data set; the folder's own by default.

    Raises:
        UserError: missing folder, no pictures, an empty class, classes that differ between splits.
    """
    name = name or root.resolve().name
    if not (root / "train").is_dir():
        unlabelled = _unlabelled(root)
        if len(unlabelled):
            return dataset_of_files(name, root, UNLABELLED, {"train": lambda: unlabelled}, image_size)
        classes = class_names(root)
        carved = carve(picture_files(root, classes), ("train", "val", "test"), HELD_OUT_SHARE)
        files = {split: functools.partial(carved.__getitem__, split) for split in carved}
        return dataset_of_files(name, root, classes, files, image_size)
    classes = class_names(root / "train")
    folders = [split for split in ("val", "test") if (root / split).is_dir()]
    for split in folders:
        if class_names(root / split) != classes:
            different = sorted(set(class_names(root / split)) ^ set(classes))
            raise UserError(
                f"{root / split} and {root / 'train'} differ in classes: {', '.join(different[:5])}"
            )
    whole = {split: functools.partial(picture_files, root / split, classes) for split in ("train", *folders)}
    if folders == ["val", "test"]:
        return dataset_of_files(name, root, classes, whole, image_size)
    if not folders:
        raise UserError(f"{root} has a train folder but neither val nor test; add one to measure on")
    return dataset_of_files(
        name,
        root,
        classes,
        {**carved_from(whole["train"], HELD_OUT_SHARE), "test": whole[folders[0]]},
        image_size,
    )


def carved_from(
    find: functools.partial[PictureFiles], share: float
) -> dict[str, functools.partial[PictureFiles]]:
    """Return finders of train and of val, which takes `share` of each class; nothing is listed before."""

    @functools.lru_cache(maxsize=1)
    def parts() -> dict[str, PictureFiles]:
        return carve(find(), ("train", "val"), share)

    return {split: functools.partial(lambda part: parts()[part], split) for split in ("train", "val")}
