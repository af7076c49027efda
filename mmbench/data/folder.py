"""Image folders: one folder per class, decoded into memory as uint8."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torchvision.datasets.folder import IMG_EXTENSIONS

from mmbench.data.dataset import DATASETS, Dataset, ImageSplit
from mmbench.data.subsets import split_by_class
from mmbench.errors import UserError
from mmbench.processes import cores

IMAGE_SIZE = 32
STORED_OVER_FED = 1.25  # stored images leave room for crops
HELD_OUT_SHARE = 0.15

Array = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def read_image(path: Path, size: int) -> Array:
    """Return one picture as RGB (size, size, 3) uint8: short side resized to `size`, middle kept.

    Grey, paletted and CMYK pictures become RGB; 16-bit grey is scaled to 8 bits; transparency is dropped.

    Raises:
        UserError: the file is no picture, or is truncated.
    """
    try:
        with Image.open(path) as opened:
            image: Image.Image = opened
            if opened.mode.startswith("I"):  # 16-bit grey: Pillow would clip it instead of scaling
                image = Image.fromarray((np.asarray(opened, dtype=np.uint32) >> 8).astype(np.uint8))
            image = image.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error}); mend or remove it") from None
    width, height = image.size
    if min(width, height) != size:
        scale = size / min(width, height)
        image = image.resize(
            (max(size, round(width * scale)), max(size, round(height * scale))),
            Image.Resampling.BILINEAR,
            reducing_gap=3.0,
        )
    width, height = image.size
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


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


def picture_paths(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Return (path, class index) of every picture, in the order of classes and names.

    Raises:
        UserError: a class folder is missing or holds no picture.
    """
    found: list[tuple[Path, int]] = []
    for index, name in enumerate(classes):
        paths = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in IMG_EXTENSIONS)
        if not paths:
            raise UserError(
                f"class '{name}' has no pictures in {folder / name}; add some or remove the folder"
            )
        found += [(path, index) for path in paths]
    return found


def decode(items: Sequence[tuple[Path, int]], size: int) -> ImageSplit:
    """Return the pictures as one split (N, 3, size, size), decoded by a few threads."""
    with ThreadPoolExecutor(min(8, cores())) as pool:
        images = list(pool.map(lambda item: read_image(item[0], size), items, chunksize=64))
    return ImageSplit(
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        torch.tensor([label for _, label in items], dtype=torch.int64),
    )


def read_split(folder: Path, classes: Sequence[str], size: int) -> ImageSplit:
    """Return the pictures of `folder`/{class}/ as one split."""
    return decode(picture_paths(folder, classes), size)


@DATASETS.register("folder")
def load_folder(root: Path, image_size: int = IMAGE_SIZE) -> Dataset:
    """Return an image folder as a data set.

    With `train`, `val` and `test` below `root` those are the splits. With only `train` and `val`, `val` is
    what is tested on, and 15% of each class of `train` are held out as val. Without any of them, each
    class is split 70/15/15. What is held out depends on nothing but the number of pictures.

    Raises:
        UserError: missing folder, no classes, an empty class, classes that differ between splits.
    """
    stored = round(image_size * STORED_OVER_FED)
    name = root.resolve().name
    if not (root / "train").is_dir():
        classes = class_names(root)
        return Dataset(
            name, root, classes, _carved(root, classes, stored, ("train", "val", "test")), image_size
        )
    classes = class_names(root / "train")
    folders = [split for split in ("val", "test") if (root / split).is_dir()]
    for split in folders:
        if class_names(root / split) != classes:
            different = sorted(set(class_names(root / split)) ^ set(classes))
            raise UserError(
                f"{root / split} and {root / 'train'} differ in classes: {', '.join(different[:5])}"
            )
    whole = {
        split: functools.partial(read_split, root / split, classes, stored) for split in ("train", *folders)
    }
    if folders == ["val", "test"]:
        return Dataset(name, root, classes, whole, image_size)
    if not folders:
        raise UserError(f"{root} has a train folder but neither val nor test; add one to measure on")
    carved = _carved(root / "train", classes, stored, ("train", "val"))
    return Dataset(name, root, classes, {**carved, "test": whole[folders[0]]}, image_size)


def _carved(
    folder: Path, classes: tuple[str, ...], size: int, splits: tuple[str, ...]
) -> dict[str, functools.partial[ImageSplit]]:
    """Return loaders for splits carved class by class from one folder; all but train take 15% each."""
    items = picture_paths(folder, classes)
    labels = torch.tensor([label for _, label in items])
    parts = split_by_class(labels, [HELD_OUT_SHARE] * (len(splits) - 1), seed=0)
    return {
        split: functools.partial(decode, [items[index] for index in part.tolist()], size)
        for split, part in zip(splits, parts, strict=True)
    }
