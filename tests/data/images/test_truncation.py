"""Files that end too early are refused, also where Pillow alone takes them for whole."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbench.data.images.decoding import open_rgb
from mmbench.data.images.file_pixels import read_pixels
from mmbench.data.images.image_places import StoredImage
from mmbench.data.images.truncation import has_end_marker
from mmbench.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def saved(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(NOISE).save(stream, kind, **options)
    return stream.getvalue()


def refused(content: bytes, path: Path) -> None:
    """Check that a file is refused from a path and from a pack, by both ways of reading."""
    path.write_bytes(content)
    for place in (path, StoredImage("a", content)):
        for read in (open_rgb, read_pixels):
            with pytest.raises(UserError, match="truncated"):
                read(place)


def thumbnail() -> bytes:
    """Return an EXIF block that holds a JPEG, after a directory without entries."""
    return b"Exif\0\0II*\0" + struct.pack("<IHI", 8, 0, 0) + saved("JPEG", quality=5)


JPEGS = {
    "baseline": saved("JPEG"),
    "progressive": saved("JPEG", progressive=True),
    "restart markers": saved("JPEG", restart_marker_blocks=4),
    "with a thumbnail": saved("JPEG", exif=thumbnail()),
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
def test_a_jpeg_that_zeros_fill_up_is_refused(tmp_path: Path, name: str, share: float) -> None:
    content = JPEGS[name]
    kept = len(content) - int((1 - share) * len(saved("JPEG")))
    zeros = content[:kept] + bytes(len(content) - kept + 30_000)
    if name in ("baseline", "with a thumbnail"):
        Image.open(io.BytesIO(zeros)).load()  # Pillow takes these
    refused(zeros, tmp_path / "a.jpg")


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("after", [b"", bytes(9), bytes(9_999), b"\0 notes of a camera " * 400])
def test_what_follows_the_end_of_a_jpeg_is_no_matter(name: str, after: bytes) -> None:
    expected = np.asarray(Image.open(io.BytesIO(JPEGS[name])))
    place = StoredImage("a", JPEGS[name] + after)
    assert np.array_equal(np.asarray(open_rgb(place)), expected)
    assert np.array_equal(read_pixels(place).pixels, expected)


def test_the_end_of_a_thumbnail_is_not_that_of_its_image() -> None:
    content = JPEGS["with a thumbnail"]
    assert has_end_marker(content) and not has_end_marker(content[:-2])
    assert not has_end_marker(content[:-2] + bytes(10))


def chunk(name: bytes, inside: bytes) -> bytes:
    return struct.pack(">I", len(inside)) + name + inside + struct.pack(">I", zlib.crc32(name + inside))


def png(rows: list[bytes], size: tuple[int, int], bits: int, colour: int, *, interlaced: bool) -> bytes:
    """Return a PNG of these unfiltered rows, however many its size needs."""
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    middle = len(pixels) // 2
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header) + palette,
            chunk(b"IDAT", pixels[:middle]) + chunk(b"IDAT", pixels[middle:]),
            chunk(b"IEND", b""),
        )
    )


def rows_of(
    size: tuple[int, int], depth: int, *, interlaced: bool, generator: np.random.Generator
) -> list[bytes]:
    """Return random rows of whole pixels of `depth` bits, in the order of a PNG, none of them all zero."""
    width, height = size
    widths = [width] * height
    if interlaced:  # where each pixel is in the 8 x 8 pattern of ISO/IEC 15948, figure 8.2
        pattern = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656"]
        order = [*pattern, "77777777"]
        widths = []
        for number in "1234567":
            for y in range(height):
                found = sum(order[y % 8][x % 8] == number for x in range(width))
                widths += [found] if found else []
    return [bytes(generator.integers(1, 256, -(-wide * depth // 8), dtype=np.uint8)) for wide in widths]


LAYOUTS = [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (4, 3), (8, 4), (8, 6), (16, 6)]


@given(
    layout=st.sampled_from(LAYOUTS),
    size=st.tuples(st.integers(1, 20), st.integers(2, 20)),
    interlaced=st.booleans(),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_a_png_without_its_last_rows_is_refused(
    layout: tuple[int, int], size: tuple[int, int], interlaced: bool, data: st.DataObject
) -> None:
    bits, colour = layout
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    rows = rows_of(size, bits * CHANNELS[colour], interlaced=interlaced, generator=generator)
    whole = StoredImage("a", png(rows, size, bits, colour, interlaced=interlaced))
    with Image.open(io.BytesIO(whole.content)) as image:
        image.load()
    for read in (lambda: open_rgb(whole), lambda: read_pixels(whole).pixels):
        assert np.asarray(read()).shape == (*size[::-1], 3)
    cut = rows[: data.draw(st.integers(0, len(rows) - 1))]
    short = StoredImage("a", png(cut, size, bits, colour, interlaced=interlaced))
    for read in (lambda: open_rgb(short), lambda: read_pixels(short).pixels):
        with pytest.raises(UserError, match=r"truncated|broken"):
            read()


def test_a_png_whose_last_rows_are_black_is_read(tmp_path: Path) -> None:
    pixels = NOISE.copy()
    pixels[30:] = 0
    for mode in ("RGB", "L", "RGBA", "P"):
        Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
        assert not np.asarray(open_rgb(tmp_path / "a.png"))[40:].any()
        assert not read_pixels(tmp_path / "a.png").pixels[40:].any()
