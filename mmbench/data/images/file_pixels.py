"""Pixels of image files as arrays. Usual JPEGs and PNGs take a shorter way to the pixels of `open_rgb`."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from mmbench.data.images.decoding import Array, open_rgb
from mmbench.data.images.image_places import ImagePlace, openable
from mmbench.data.images.pixel_modes import orientation
from mmbench.data.images.truncation import chunks, content_of_stream, has_end_marker

# Where Pillow finds an orientation.
METADATA = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
PNG_SAMPLES = ("L", "RGB", "RGBA")  # Pillow's names of 8-bit samples

AtLeast = Callable[[tuple[int, int]], tuple[int, int]]


class FilePixels(NamedTuple):
    """A decoded image.

    Attributes:
        pixels: upright RGB, uint8 (H, W, 3).
        stored: upright (width, height) of the file; larger where a JPEG was decoded smaller.
    """

    pixels: Array
    stored: tuple[int, int]


def read_pixels(path: ImagePlace, at_least: AtLeast | None = None) -> FilePixels:
    """Return one image; what the shorter way does not cover, or fails on, is read by `open_rgb`.

    Args:
        at_least: as in `open_rgb`.

    Raises:
        UserError: as in `open_rgb`.
    """
    try:
        with Image.open(openable(path)) as opened:
            found = _usual_png(opened) if opened.format == "PNG" else _usual_jpeg(opened, at_least)
    except Exception:  # `open_rgb` reads it, or says what is wrong
        found = None
    if found is not None:
        return FilePixels(found, (found.shape[1], found.shape[0]))
    stored: list[tuple[int, int]] = []

    def remember(size: tuple[int, int]) -> tuple[int, int]:
        stored.append(size)
        return size if at_least is None else at_least(size)

    image = open_rgb(path, None if at_least is None else remember)
    return FilePixels(np.array(image), stored[0] if stored else image.size)


def is_usual_jpeg(opened: Image.Image) -> bool:
    """Return whether an opened file is an upright grey or colour JPEG; its pixels are not looked at."""
    return opened.format == "JPEG" and opened.mode in ("RGB", "L") and _is_upright(opened)


def _is_upright(opened: Image.Image) -> bool:
    return not any(name in opened.info for name in METADATA) or orientation(opened) == 1


def _content(opened: Image.Image) -> bytes | None:
    """Return the whole file; None where Pillow has closed it."""
    stream = getattr(opened, "fp", None)
    return None if stream is None else content_of_stream(stream)


def _usual_jpeg(opened: Image.Image, at_least: AtLeast | None) -> Array | None:
    """Return the pixels of an upright grey or colour JPEG that is needed at its full size, None of others."""
    if not is_usual_jpeg(opened) or not same_decoder():
        return None
    width, height = opened.size
    if at_least is not None:
        opened.draft("RGB", at_least((width, height)))
        if opened.size != (width, height):
            return None
    content = _content(opened)
    if content is None or not has_end_marker(content):
        return None
    pixels = _decoded(content)
    return pixels if pixels.shape == (height, width, 3) else None


def _decoded(content: bytes) -> Array:
    """Return the pixels of a JPEG as torchvision decodes them, without Pillow's layout of 4 bytes each."""
    from torchvision.io import ImageReadMode, decode_jpeg  # deprecated there: a later version may lack it

    image = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    found: Array = image.permute(1, 2, 0).numpy()
    return found


@functools.cache
def same_decoder() -> bool:
    """Return whether the JPEG libraries of torchvision and Pillow give the same pixels, tried on one image.

    Both wheels hold libjpeg-turbo; builds with other libraries differ in how they enlarge the colours. Where
    they differ, or torchvision decodes no JPEG, Pillow reads all files.
    """
    noise = np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", quality=90, subsampling="4:2:0")
    try:
        found = _decoded(stream.getvalue())
    except (ImportError, RuntimeError):
        return False
    with Image.open(stream) as image:
        return np.array_equal(found, np.asarray(image))


def _usual_png(opened: Image.Image) -> Array | None:
    """Return the pixels of an upright PNG of 8-bit grey or colour, also with transparency, None of others."""
    decode, samples = png_decoder(), [str(tile[-1]) for tile in getattr(opened, "tile", ())]
    if decode is None or len(samples) != 1 or samples[0] not in PNG_SAMPLES:
        return None
    if "transparency" in opened.info or not _is_upright(opened):
        return None
    content = _content(opened)
    if content is None or not _ends_with_pixels(content):
        return None
    decoded = decode(content)
    pixels = np.repeat(decoded[:, :, None], 3, axis=2) if decoded.ndim == 2 else decoded[:, :, :3]
    return np.ascontiguousarray(pixels) if pixels.shape == (*opened.size[::-1], 3) else None


def _ends_with_pixels(content: bytes) -> bool:
    """Return whether nothing but the end follows a PNG's pixels: no orientation, and no further frame."""
    return [name for name, _ in chunks(content)][-2:] == [b"IDAT", b"IEND"]


@functools.cache
def png_decoder() -> Callable[[bytes], Array] | None:
    """Return libspng's decoder in imagecodecs, None where that is not installed and Pillow reads all PNGs.

    It compares the checksum of every chunk. Of others that are as fast, imagecodecs' decoder by libpng was
    seen to end the process on damaged files (version 2026.3.6), and pyspng (0.1.4) to accept them.
    """
    try:
        import imagecodecs
    except Exception:  # not installed, or broken, which `mmbench doctor` says
        return None
    decode: Callable[[bytes], Array] = imagecodecs.spng_decode
    return decode if imagecodecs.SPNG.available else None
