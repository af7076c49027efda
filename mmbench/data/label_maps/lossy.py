"""Which files store pixels exactly: masks whose labels are blurred at borders are no labels."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Any

from PIL import Image

# Formats of Pillow that store every pixel as it was written.
EXACT = frozenset({"BMP", "DIB", "GIF", "ICO", "IM", "MSP", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "XBM"})
TIFF_COMPRESSION = 259  # tag; 1 where it is missing (TIFF 6.0, section 8)
# None, the three of faxes, LZW, two numbers of Deflate, words of faxes, PackBits, LZMA, Zstandard.
EXACT_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 8, 32946, 32771, 32773, 34925, 50000})
JPEG_COMPRESSIONS = frozenset({6, 7})


def lossy_storage(image: Image.Image) -> str:
    """Return what a file is whose pixels may not be those that were written, "" if it stores them exactly.

    WebP is exact where its frame is a chunk VP8L (RFC 9649). JPEG 2000 and AVIF can be exact, but files do
    not say whether they are: the reversible transform of JPEG 2000 may be cut to a size, too.

    Args:
        image: opened and not yet decoded.
    """
    kind = image.format
    if kind in ("JPEG", "MPO"):
        return "a JPEG, which blurs labels"
    if kind == "WEBP":
        return "" if _is_lossless_webp(image) else "a lossy WebP, which blurs labels"
    if kind == "TIFF":
        compression = int(getattr(image, "tag_v2", {}).get(TIFF_COMPRESSION, 1))
        if compression in EXACT_COMPRESSIONS:
            return ""
        if compression in JPEG_COMPRESSIONS:
            return "a TIFF of JPEG compression, which blurs labels"
        return f"a TIFF of compression {compression}, which may blur labels"
    if kind is None or kind in EXACT:
        return ""
    return f"an image of format {kind}, which may blur labels"


def _is_lossless_webp(image: Image.Image) -> bool:
    stream: Any = getattr(image, "fp", None)
    if stream is None:
        return False
    place = stream.tell()
    kinds = set(_chunks(stream))
    stream.seek(place)
    return b"VP8L" in kinds and b"VP8 " not in kinds


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the names of the chunks of a RIFF file: a name, a size, and the content, filled to even bytes."""
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        yield name
        stream.seek(size + size % 2, 1)
