"""Pictures on disk: opened as 8-bit RGB whatever they are, and decoded into memory as uint8."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from mmbench.data.dataset import Dataset, ImageSplit, Metric, PictureFiles
from mmbench.errors import UserError
from mmbench.processes import cores

STORED_OVER_FED = 1.25  # stored images leave room for crops

Array = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def open_rgb(path: Path, at_least: Callable[[tuple[int, int]], tuple[int, int]] | None = None) -> Image.Image:
    """Return one picture, decoded, as 8-bit RGB.

    Grey, paletted and CMYK pictures become RGB; 16-bit grey is scaled to 8 bits; transparency is dropped.

    Args:
        at_least: told the picture's (width, height), gives the size that will do; a JPEG is then decoded at
            a half, a quarter or an eighth of its size where that is enough.

    Raises:
        UserError: the file is no picture, or is truncated.
    """
    try:
        with Image.open(path) as opened:
            if opened.mode.startswith("I"):  # 16-bit grey: Pillow would clip it instead of scaling
                return Image.fromarray((np.asarray(opened, dtype=np.uint32) >> 8).astype(np.uint8)).convert(
                    "RGB"
                )
            if at_least is not None:
                opened.draft("RGB", at_least(opened.size))
            return opened.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error}); mend or remove it") from None


def read_image(path: Path, size: int) -> Array:
    """Return one picture as RGB (size, size, 3) uint8: short side resized to `size`, middle kept.

    Raises:
        UserError: the file is no picture, or is truncated.
    """
    image = open_rgb(path)
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


def decode(files: PictureFiles, size: int, unreadable: list[str] | None = None) -> ImageSplit:
    """Return the pictures as one split (N, 3, size, size), decoded by a few threads.

    Args:
        unreadable: takes the paths of pictures that cannot be read, which are then left out.

    Raises:
        UserError: a picture cannot be read and `unreadable` is None, or none can be read.
    """

    def read(path: str) -> Array | None:
        try:
            return read_image(files.root / path, size)
        except UserError:
            if unreadable is None:
                raise
            unreadable.append(path)
            return None

    with ThreadPoolExecutor(min(8, cores())) as pool:
        images = list(pool.map(read, files.paths, chunksize=64))
    kept = [index for index, image in enumerate(images) if image is not None]
    if not kept:
        raise UserError(f"none of the {len(files)} pictures in {files.root} can be read")
    stacked = np.stack([image for image in images if image is not None])
    return ImageSplit(
        torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous(), files.labels[torch.tensor(kept)]
    )


def dataset_of_files(
    name: str,
    root: Path,
    classes: tuple[str, ...],
    files: Mapping[str, Callable[[], PictureFiles]],
    image_size: int,
    *,
    metric: Metric = "top1",
    multilabel: bool = False,
    expected: Mapping[str, int] | None = None,
    remarks: Sequence[str] = (),
) -> Dataset:
    """Return a data set of pictures on disk; its splits in memory are a little larger than they are fed."""
    stored = round(image_size * STORED_OVER_FED)
    found = {split: functools.lru_cache(maxsize=1)(find) for split, find in files.items()}

    def decoded(split: str) -> ImageSplit:
        return decode(found[split](), stored)

    splits = {split: functools.partial(decoded, split) for split in found}
    return Dataset(
        name,
        root,
        classes,
        splits,
        image_size,
        files=found,
        metric=metric,
        multilabel=multilabel,
        expected=expected or {},
        remarks=tuple(remarks),
    )
