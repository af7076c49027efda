"""Files that end too early although Pillow takes them for whole, as where a copy broke off half-way.

Pillow notices that a file ends within its pixels. It does not where zeros follow in a JPEG, which are codes
like any other, nor where the compressed pixels of a PNG end before its last row, which then stays zero.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"  # ISO/IEC 10918-1, table B.1
TAIL_BYTES = 4096
# ISO/IEC 15948 (PNG), 5.2, 5.3 and 11.2.1: bytes before the first chunk, and of the parts of a chunk.
SIGNATURE_BYTES, CHUNK_HEADER, CHECKSUM_BYTES = 8, struct.Struct(">I4s"), 4
HEADER = struct.Struct(">IIBBBBB")
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# 8.2: of each pass of an interlaced image the first row and column, and the steps between them.
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
LAST_ROWS = 2  # one of which every image fills last, interlaced or not


def load(image: Image.Image) -> None:
    """Decode an opened image.

    Raises:
        OSError: it is truncated; Pillow's decoders raise other errors too.
    """
    stream, path = getattr(image, "fp", None), getattr(image, "filename", "")
    if stream is not None and image.format in ("JPEG", "MPO") and not _ends(stream):
        raise OSError("image file is truncated: it has no end marker")
    image.load()
    if stream is not None and isinstance(image, PngImageFile) and _has_empty_end(image):
        _check_rows(Path(path).read_bytes() if stream.closed else content_of_stream(stream))


def has_end_marker(content: bytes) -> bool:
    """Return whether a JPEG has an end marker after its last scan; anything may follow it."""
    if content[-TAIL_BYTES:].rstrip(b"\0").endswith(END_OF_IMAGE):
        return True
    return content.rfind(END_OF_IMAGE) > content.rfind(START_OF_SCAN)


def chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield name and content of the chunks of a PNG, to its end.

    Raises:
        struct.error: there is no end.
    """
    place, name = SIGNATURE_BYTES, b""
    while name != b"IEND":
        length, name = CHUNK_HEADER.unpack_from(content, place)
        place += CHUNK_HEADER.size
        yield name, memoryview(content)[place : place + length]
        place += length + CHECKSUM_BYTES


def _ends(stream: IO[bytes]) -> bool:
    """Return whether an opened JPEG has an end marker, most often by its last bytes alone."""
    place = stream.tell()
    stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
    found = has_end_marker(stream.read()) or has_end_marker(content_of_stream(stream))
    stream.seek(place)
    return found


def content_of_stream(stream: IO[bytes]) -> bytes:
    """Return all bytes of an opened file, from its start."""
    stream.seek(0)
    return stream.read()


def _has_empty_end(image: PngImageFile) -> bool:
    """Return whether one of the last rows is zero, as rows are that were not decoded, and others may be."""
    width, height = image.size
    rows = np.asarray(image.crop((0, max(0, height - LAST_ROWS), width, height)))
    return not rows.reshape(len(rows), -1).any(axis=1).all()


def _check_rows(content: bytes) -> None:
    """Raise OSError where the compressed pixels of a PNG are less than its size needs."""
    inflating, found, needed = zlib.decompressobj(), 0, 0
    try:
        for name, inside in chunks(content):
            if name == b"IHDR":
                needed = _bytes_of_pixels(*HEADER.unpack_from(inside))
            elif name == b"IDAT":
                found += len(inflating.decompress(inside))
    except (struct.error, zlib.error) as error:
        raise OSError(f"broken PNG file: {error}") from None
    if found < needed:
        raise OSError(f"image file is truncated: {found} of {needed} bytes of pixels")


def _bytes_of_pixels(
    width: int, height: int, bits: int, colour: int, compression: int, filtering: int, interlacing: int
) -> int:
    """Return the bytes of all rows, each with that of its filter, before they are compressed."""
    sizes = [(width, height)]
    if interlacing:
        sizes = [
            (math.ceil((width - left) / across), math.ceil((height - top) / down))
            for top, left, down, across in PASSES
        ]
    return sum(
        tall * (1 + math.ceil(wide * bits * CHANNELS[colour] / 8))
        for wide, tall in sizes
        if wide > 0 and tall > 0
    )
