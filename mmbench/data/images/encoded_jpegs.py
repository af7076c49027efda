"""JPEGs that may be decoded elsewhere: their bytes and their size, and nothing of their pixels."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image

from mmbench.data.images.file_pixels import is_usual_jpeg
from mmbench.data.images.image_places import ImagePlace, content_of
from mmbench.data.images.truncation import END_OF_IMAGE

PADDING = 64  # zero bytes after the end that are looked past
RGB_COMPONENTS = [ord(letter) for letter in "RGB"]  # libjpeg's names of components that are no YCbCr


class EncodedJpeg(NamedTuple):
    """A JPEG before it is decoded.

    Attributes:
        content: the whole file.
        stored: (width, height).
    """

    content: bytes | memoryview
    stored: tuple[int, int]


def encoded_jpeg(place: ImagePlace) -> EncodedJpeg | None:
    """Return a usual JPEG (see `is_usual_jpeg`) that any decoder reads alike; None of other files.

    A file without an end may be cut off: decoders differ in whether they refuse it. Those for GPUs know
    nothing of colours that are stored as RGB, and of more than 8 bits. Damage is left to those who read the
    file instead.
    """
    try:
        content = content_of(place)
        with Image.open(io.BytesIO(content)) as opened:
            usual = is_usual_jpeg(opened) and not _stored_as_rgb(opened) and getattr(opened, "bits", 0) == 8
            stored = opened.size
    except Exception:  # whoever reads it says what is wrong
        return None
    ended = bytes(content[-PADDING:]).rstrip(b"\0").endswith(END_OF_IMAGE)
    return EncodedJpeg(content, stored) if usual and ended else None


def _stored_as_rgb(opened: Image.Image) -> bool:
    """Return whether a JPEG holds red, green and blue, as Adobe's marker or its components' names say."""
    if opened.mode != "RGB":
        return False
    names = [component[0] for component in getattr(opened, "layer", ())]
    return opened.info.get("adobe_transform") == 0 or names == RGB_COMPONENTS
