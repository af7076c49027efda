"""Images on disk: opened as 8-bit RGB from any pixel format, and decoded into memory as uint8."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image

from mmbench.data.images.image_places import ImagePlace, openable, remedy
from mmbench.data.images.pixel_modes import orientation, to_rgb
from mmbench.data.types import ImageFiles, ImageSplit
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.processes import cores

LARGEST_RESIZED = (
    2**24
)  # pixels: a longer image, such as 1 x 60,000, is cut to its middle before it is resized
REDUCING_GAP = 3.0  # Pillow: an image that is made six times smaller or more is first averaged in blocks
STORED_OVER_FED = 1.25  # stored images leave room for crops
AT_A_TIME = 64  # images that a thread decodes before it takes others

# Pillow warns of images above 89 million pixels, in two lines for each, and refuses twice as many.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Array = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def open_rgb(
    path: ImagePlace,
    at_least: Callable[[tuple[int, int]], tuple[int, int]] | None = None,
    *,
    apply_exif: bool = True,
) -> Image.Image:
    """Return one image, decoded, upright and as 8-bit RGB; `pixel_modes` has the rules.

    Args:
        path: the file, or the part of one that it is.
        at_least: called for a JPEG with its upright (width, height), returns the size that suffices; the
            JPEG is then decoded at a half, a quarter or an eighth of its size where that is enough.
        apply_exif: whether the image is turned upright as its EXIF tag states.

    Raises:
        UserError: the file is not an image, is truncated, too large, or holds pixels that no rule covers.
    """
    try:
        with Image.open(openable(path)) as opened:
            if at_least is not None and opened.format in ("JPEG", "MPO"):
                turned = orientation(opened) >= 5  # width and height are swapped
                width, height = at_least(opened.size[::-1] if turned else opened.size)
                opened.draft("RGB", (height, width) if turned else (width, height))
            return to_rgb(opened, apply_exif=apply_exif)
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{printable(str(path))} cannot be read as an image ({reason[:200]}); {remedy(path)}"
        ) from None


def read_image(path: ImagePlace, size: int) -> Array:
    """Return one image as RGB (size, size, 3) uint8: short side resized to `size`, middle kept.

    Raises:
        UserError: the file is not an image, or is truncated.
    """
    return middle_square(open_rgb(path), size)


def middle_square(image: Image.Image, size: int) -> Array:
    """Return an RGB image as (size, size, 3) uint8: short side resized to `size`, middle kept."""
    width, height = image.size
    if is_extreme(width, height, size):
        image = _middle(image)
        width, height = image.size
    if min(width, height) != size:
        image = image.resize(
            resized_size(width, height, size), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP
        )
    width, height = image.size
    left, top = (width - size) // 2, (height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def is_extreme(width: int, height: int, size: int) -> bool:
    """Return whether an image is so long that only its middle is resized."""
    return max(width, height) * size**2 > LARGEST_RESIZED * min(width, height)


def resized_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Return width and height at which the short side has `size` pixels."""
    scale = size / min(width, height)
    return max(size, round(width * scale)), max(size, round(height * scale))


def _middle(image: Image.Image) -> Image.Image:
    """Return the middle of an image that is extremely long or tall, twice as long as it is wide at most."""
    width, height = image.size
    across, down = min(width, 2 * height), min(height, 2 * width)
    left, top = (width - across) // 2, (height - down) // 2
    return image.crop((left, top, left + across, top + down))


def decode(files: ImageFiles, size: int, unreadable: list[str] | None = None) -> ImageSplit:
    """Return the images as one split (N, 3, size, size), decoded by a few threads.

    Args:
        unreadable: takes the paths of images that cannot be read, which are then left out.

    Raises:
        UserError: an image cannot be read and `unreadable` is None, or none can be read.
    """

    def read(index: int) -> Array | None:
        try:
            return read_image(files.place(index), size)
        except UserError:
            if unreadable is None:
                raise
            unreadable.append(files.paths[index])
            return None

    def read_several(start: int) -> list[Array | None]:
        return [read(index) for index in range(start, min(start + AT_A_TIME, len(files)))]

    with ThreadPoolExecutor(min(8, cores())) as pool:
        starts = range(0, len(files), AT_A_TIME)
        images = [image for several in pool.map(read_several, starts) for image in several]
    kept = [index for index, image in enumerate(images) if image is not None]
    if not kept:
        raise UserError(f"none of the {len(files)} images in {files.root} can be read")
    stacked = np.stack([image for image in images if image is not None])
    return ImageSplit(
        torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous(), files.labels[torch.tensor(kept)]
    )
