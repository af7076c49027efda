"""Writes tiny VOC2012 + SBD, Cityscapes and ADE20K as their archives unpack, for segmentation.

    from published_layouts import write_voc12aug, write_cityscapes, write_ade20k

    write_voc12aug(tmp_path / "data" / "voc12aug", prepared=True)
    write_cityscapes(tmp_path / "data" / "cityscapes")
    write_ade20k(tmp_path / "data" / "ade20k")

What a mask file holds depends on the name of its image alone: `values_of` returns it. A class has one colour
in the images, so that a network can learn it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image

Values = NDArray[np.uint8]
VOC_VALUES = (*range(21), 255)  # in mask files; 255 is the boundary between objects
CITYSCAPES_IDS = tuple(range(34))
ADE20K_VALUES = tuple(range(151))
# From label ids to the 19 labels that are trained on; all others are 255.
TRAIN_IDS = {
    identifier: label
    for label, identifier in enumerate(
        (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
    )
}


def values_of(name: str, allowed: Sequence[int], size: tuple[int, int] = (64, 48), shown: int = 4) -> Values:
    """Return what the mask file of an image holds: rectangles of a few values; some pixels are 255 in VOC.

    Args:
        name: of the image, and of what else tells two masks apart.
        allowed: values that are drawn from.
        size: width and height in pixels.
        shown: different values in it at most.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    width, height = size
    values = np.full((height, width), allowed[0], np.uint8)
    for value in rng.choice(np.asarray(allowed), shown, replace=False):
        top, left = rng.integers(0, height // 2), rng.integers(0, width // 2)
        values[top : top + height // 3, left : left + width // 2] = value
    return values


def size_of(name: str) -> tuple[int, int]:
    """Return width and height of an image of VOC or ADE20K: some are upright."""
    return (48, 64) if zlib.crc32(name.encode()) % 3 == 0 else (64, 48)


def save_image(path: Path, values: Values, quality: int = 92) -> None:
    """Write an image that shows a mask: each value has a colour, and there is a little noise."""
    colours = np.random.default_rng(0).integers(0, 256, (256, 3))
    noise = np.random.default_rng(zlib.crc32(path.stem.encode())).normal(0, 6, (*values.shape, 3))
    pixels = (colours[values] + noise).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=quality)


def voc_colours() -> list[int]:
    """Return the palette of VOC's masks, flat: a value's bits are dealt to the channels, highest first."""
    flat = []
    for value in range(256):
        colour = [0, 0, 0]
        for place in range(8):
            for channel in range(3):
                colour[channel] |= ((value >> (3 * place + channel)) & 1) << (7 - place)
        flat += colour
    return flat


def save_mask(path: Path, values: Values, palette: Sequence[int] | None = None) -> None:
    """Write a mask file: with a palette, or grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette is not None:
        image.putpalette(list(palette))
    image.save(path)


def save_mat(path: Path, values: Values) -> None:
    """Write a .mat file of SBD: GTcls.Segmentation, and the other fields that SBD has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), object)
    for label in range(1, 21):
        boundaries[label - 1, 0] = (values == label).astype(np.uint8)
    present = np.unique(values[values > 0]).astype(np.uint8)[:, None]
    content = {"Boundaries": boundaries, "Segmentation": values, "CategoriesPresent": present}
    scipy.io.savemat(path, {"GTcls": content}, do_compression=True)


def write_list(path: Path, names: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def voc_names(train: int = 4, added: int = 4, val: int = 3) -> dict[str, list[str]]:
    """Return the names of VOC's train and val images, and of those that SBD adds."""
    return {
        "train": [f"2007_{number:06d}" for number in range(train)],
        "added": [f"2008_{number:06d}" for number in range(added)],
        "val": [f"2009_{number:06d}" for number in range(val)],
    }


def voc_values(name: str) -> Values:
    """Return VOC's own mask of an image."""
    return values_of(name, VOC_VALUES, size_of(name))


def sbd_values(name: str) -> Values:
    """Return SBD's mask of an image; it has no 255, and differs from VOC's own."""
    return values_of(f"sbd {name}", VOC_VALUES[:-1], size_of(name))


def write_voc12aug(
    root: Path, train: int = 4, added: int = 4, val: int = 3, *, prepared: bool = False
) -> Path:
    """Write VOCdevkit/VOC2012 and SBD's benchmark_RELEASE below `root`, as unpacked.

    SBD also has masks of half of VOC's train images and of one val image.

    Args:
        train, val: images with masks of VOC's own.
        added: images that only SBD has masks of.
        prepared: write SegmentationClassAug/ and trainaug.txt too, as mmsegmentation's tool does.
    """
    names = voc_names(train, added, val)
    home, sbd = root / "VOCdevkit" / "VOC2012", root / "benchmark_RELEASE" / "dataset"
    for name in [name for part in names.values() for name in part]:
        own = name not in names["added"]
        save_image(home / "JPEGImages" / f"{name}.jpg", voc_values(name) if own else sbd_values(name))
        if own:
            save_mask(home / "SegmentationClass" / f"{name}.png", voc_values(name), voc_colours())
    lists = home / "ImageSets" / "Segmentation"
    for part in ("train", "val"):
        write_list(lists / f"{part}.txt", names[part])
    known = {"train": [*names["added"], *names["train"][: train // 2]], "val": names["val"][:1]}
    for part, inside in known.items():
        write_list(sbd / f"{part}.txt", inside)
        for name in inside:
            save_mat(sbd / "cls" / f"{name}.mat", sbd_values(name))
            if prepared:
                save_mask(home / "SegmentationClassAug" / f"{name}.png", sbd_values(name))
    if prepared:
        write_list(lists / "trainaug.txt", [*names["added"], *names["train"]])
        write_list(lists / "aug.txt", names["added"])
    return root


def cityscapes_ids(name: str) -> Values:
    """Return the label ids of an image, 128 x 64 px."""
    return values_of(name, CITYSCAPES_IDS, (128, 64), shown=8)


def train_ids(ids: Values) -> Values:
    """Return the labels that are trained on, from label ids."""
    return np.vectorize(lambda value: TRAIN_IDS.get(value, 255), otypes=[np.uint8])(ids)


def cityscapes_names(train: int = 4, val: int = 2) -> dict[str, list[str]]:
    """Return the names of images, such as "ulm_000001_000019"."""
    cities = ("aachen", "ulm")
    return {
        "train": [f"{cities[number % 2]}_{number:06d}_000019" for number in range(train)],
        "val": [f"frankfurt_{number:06d}_000294" for number in range(val)],
    }


def write_cityscapes(
    root: Path, train: int = 4, val: int = 2, maps: Literal["trainids", "ids", "both"] = "trainids"
) -> Path:
    """Write leftImg8bit/ and gtFine/ below `root`, as unzipped.

    Args:
        maps: which of *_gtFine_labelTrainIds.png and *_gtFine_labelIds.png; the archive has the latter.
    """
    for part, names in cityscapes_names(train, val).items():
        for name in names:
            city, ids = name.partition("_")[0], cityscapes_ids(name)
            save_image(root / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png", ids)
            start = root / "gtFine" / part / city
            if maps != "trainids":
                save_mask(start / f"{name}_gtFine_labelIds.png", ids)
            if maps != "ids":
                save_mask(start / f"{name}_gtFine_labelTrainIds.png", train_ids(ids))
    return root


def ade20k_values(name: str) -> Values:
    """Return what the mask of an image holds: 0 for everything that is not one of 150 classes."""
    return values_of(name, ADE20K_VALUES, size_of(name), shown=6)


def ade20k_names(train: int = 4, val: int = 2) -> dict[str, list[str]]:
    """Return the names of images by the folder that they are in."""
    return {
        "training": [f"ADE_train_{number:08d}" for number in range(1, train + 1)],
        "validation": [f"ADE_val_{number:08d}" for number in range(1, val + 1)],
    }


def write_ade20k(root: Path, train: int = 4, val: int = 2) -> Path:
    """Write images/ and annotations/ of ADEChallengeData2016.zip below `root`/ADEChallengeData2016."""
    home = root / "ADEChallengeData2016"
    for part, names in ade20k_names(train, val).items():
        for name in names:
            save_image(home / "images" / part / f"{name}.jpg", ade20k_values(name))
            save_mask(home / "annotations" / part / f"{name}.png", ade20k_values(name))
    return root
