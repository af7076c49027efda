"""One image of a packed copy: the bytes of its file where they will do, else encoded again."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from PIL import Image, features

from mmbench.data.file_facts.content_hashes import UNREADABLE
from mmbench.data.images.decoding import REDUCING_GAP, open_rgb, resized_size
from mmbench.data.images.image_places import ImagePlace, StoredImage, content_of
from mmbench.data.packs.header import Encoding, PackFormat
from mmbench.errors import UserError
from mmbench.file_names import printable

FILTER = f"Pillow's antialiased bilinear, reducing_gap {REDUCING_GAP:g}"
QUALITY = 95
# What Pillow is asked for, by format: colours of a JPEG at half the resolution, as cameras store them.
OPTIONS: dict[PackFormat, dict[str, Any]] = {"jpeg": {"subsampling": "4:2:0"}, "png": {}, "webp": {}}


class PackedImage(NamedTuple):
    """What became of an image.

    Attributes:
        content: what is stored; empty if the image cannot be read.
        sha256: of `content`.
        source: SHA-256 of the source's content, `UNREADABLE` if that cannot be read.
        reencoded: whether it was encoded again.
        fault: why it cannot be read, in one line.
    """

    content: bytes
    sha256: bytes
    source: bytes
    reencoded: bool
    fault: str = ""


def pack_images(encoding: Encoding, images: Sequence[ImagePlace]) -> list[PackedImage]:
    """Return what is stored for each image.

    Raises:
        UserError: the format cannot hold an image.
    """
    return [pack_image(encoding, image) for image in images]


def pack_image(encoding: Encoding, image: ImagePlace) -> PackedImage:
    """Return what is stored for an image, which is decoded in any case.

    A file in the chosen format whose short side is small enough is stored as it is, metadata included. Others
    become upright 8-bit RGB by the rules of `pixel_modes`, are reduced if they are larger, and are encoded.

    Raises:
        UserError: the format cannot hold the image.
    """
    try:
        content = bytes(content_of(image))
    except OSError as error:
        words = f"{printable(str(image))} cannot be read ({error.strerror or error})"
        return PackedImage(b"", b"", UNREADABLE, False, words)
    source = hashlib.sha256(content).digest()
    stored = StoredImage(str(image), content)
    try:
        rgb = open_rgb(stored)
    except UserError as error:
        return PackedImage(b"", b"", source, False, str(error))
    if min(rgb.size) <= encoding.short_side and _format_of(content) == encoding.format.upper():
        return PackedImage(content, source, source, False)
    encoded = encode(encoding, rgb, stored.name)
    return PackedImage(encoded, hashlib.sha256(encoded).digest(), source, True)


def encode(encoding: Encoding, rgb: Image.Image, name: str) -> bytes:
    """Return an image, reduced to the short side if it is larger, as a file of the format.

    Raises:
        UserError: the format cannot hold it, such as one that is longer than 16,383 px as WebP.
    """
    if min(rgb.size) > encoding.short_side:
        size = resized_size(*rgb.size, encoding.short_side)
        rgb = rgb.resize(size, Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    stream = io.BytesIO()
    quality = {} if encoding.quality is None else {"quality": encoding.quality}
    try:
        rgb.save(stream, encoding.format, **OPTIONS[encoding.format], **quality)
    except Exception as error:  # Pillow's encoders raise various errors
        raise UserError(
            f"{printable(name)} of {rgb.width} x {rgb.height} px cannot be stored as {encoding.format} "
            f"({' '.join(str(error).split())[:160]}); use --format png, or remove it"
        ) from None
    return stream.getvalue()


def _format_of(content: bytes) -> str | None:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.format


@functools.cache
def libraries() -> dict[str, str]:
    """Return the versions of the libraries that encode images and write the files."""
    import pyarrow  # type: ignore[import-untyped]

    from mmbench.version import __version__

    codecs = {name: features.version(name) for name in ("libjpeg_turbo", "webp", "zlib_ng", "zlib")}
    found = {
        "mmbench": __version__,
        "pillow": features.version("pil"),
        **codecs,
        "pyarrow": pyarrow.__version__,
    }
    return {name: version for name, version in found.items() if version is not None}
