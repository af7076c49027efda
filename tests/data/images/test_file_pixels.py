"""Pixels of files on the shorter way are those of `open_rgb`, bit for bit; what it refuses stays refused."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmbench.data.images import file_pixels
from mmbench.data.images.decoding import open_rgb
from mmbench.data.images.file_pixels import png_decoder, read_pixels, same_decoder
from mmbench.errors import UserError

WIDTH, HEIGHT = 61, 45
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **{"quality": 90, **options})
    return stream.getvalue()


def png(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunk(content: bytes, name: bytes, inside: bytes, *, after_pixels: bool) -> bytes:
    """Return a PNG with one more chunk, after its header or before its end."""
    place = len(content) - len(chunk(b"IEND", b"")) if after_pixels else 8 + len(chunk(b"IHDR", bytes(13)))
    return content[:place] + chunk(name, inside) + content[place:]


def interlaced(pixels: np.ndarray) -> bytes:
    """Return a PNG of RGB pixels in the seven passes of Adam7, unfiltered (ISO/IEC 15948, section 8.2)."""
    lines = b""
    for top, left, down, across in (
        *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4)),
        *((0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
    ):
        for row in pixels[top::down, left::across]:
            lines += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def described(words: str) -> PngInfo:
    found = PngInfo()
    found.add_itxt("XML:com.adobe.xmp", words)
    return found


def exif(turn: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = turn
    return found


COLOUR = Image.fromarray(NOISE)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
CLEAR = Image.fromarray(np.dstack((NOISE, NOISE[::-1, :, 0])))
TURNED = exif(6).tobytes().removeprefix(b"Exif\0\0")
JPEGS = {
    "4:2:0": jpeg(COLOUR, subsampling="4:2:0"),
    "4:2:2": jpeg(COLOUR, subsampling="4:2:2"),
    "4:4:4": jpeg(COLOUR, subsampling="4:4:4"),
    "progressive": jpeg(COLOUR, progressive=True),
    "coarse": jpeg(COLOUR, quality=5),
    "grey": jpeg(COLOUR.convert("L")),
    "stored as RGB": jpeg(COLOUR, keep_rgb=True),
    "restart markers": jpeg(COLOUR, restart_marker_blocks=2),
    "upright": jpeg(COLOUR, exif=exif(1)),
    "trailing bytes": jpeg(COLOUR) + b"\0" * 40,
}
PNGS = {
    "PNG": png(COLOUR),
    "PNG, stored": png(COLOUR, compress_level=0),
    "PNG, smooth": png(COLOUR.resize((7, 5)).resize((WIDTH, HEIGHT))),
    "PNG, grey": png(COLOUR.convert("L")),
    "PNG, transparent": png(CLEAR),
    "PNG, interlaced": interlaced(NOISE),
    "PNG, gamma": with_chunk(png(COLOUR), b"gAMA", struct.pack(">I", 100_000), after_pixels=False),
    "PNG, few bits": with_chunk(png(COLOUR), b"sBIT", b"\5\6\5", after_pixels=False),
    "PNG, upright": png(COLOUR, exif=exif(1)),
    "PNG, trailing bytes": png(COLOUR) + b"\0" * 40,
}
SHORTER = JPEGS | PNGS
USUAL = {
    "CMYK": jpeg(COLOUR.convert("CMYK")),
    "turned by XMP": jpeg(COLOUR, xmp=XMP),
    **{f"turned {turn}": jpeg(COLOUR, exif=exif(turn)) for turn in range(2, 9)},
    "PNG, palette": png(COLOUR.convert("P")),
    "PNG, 1 bit": png(COLOUR.convert("1")),
    "PNG, 16 bits": png(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257)),
    "PNG, grey and transparent": png(CLEAR.convert("LA")),
    "PNG, one transparent colour": png(COLOUR, transparency=tuple(NOISE[0, 0].tolist())),
    "PNG, one transparent grey": png(COLOUR.convert("L"), transparency=7),
    "PNG, turned by XMP": png(COLOUR, pnginfo=described(XMP.decode())),
    "PNG, several frames": png(COLOUR, save_all=True, append_images=[CLEAR.convert("RGB")]),
    "PNG, turned": png(COLOUR, exif=exif(6)),
    "PNG, turned after its pixels": with_chunk(png(COLOUR), b"eXIf", TURNED, after_pixels=True),
}


@pytest.mark.parametrize("name", [*SHORTER, *USUAL])
def test_pixels_are_those_of_open_rgb(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert same_decoder()
    (tmp_path / "a.jpg").write_bytes({**SHORTER, **USUAL}[name])
    expected = np.asarray(open_rgb(tmp_path / "a.jpg"))
    used: list[str] = []

    def remember(*arguments: object) -> Image.Image:
        used.append(name)
        return open_rgb(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(file_pixels, "open_rgb", remember)
    for at_least in (None, lambda stored: stored):
        found = read_pixels(tmp_path / "a.jpg", at_least)
        assert np.array_equal(found.pixels, expected) and found.pixels.flags.writeable
        assert found.stored == expected.shape[1::-1]
    assert len(used) == (0 if name in SHORTER else 2)


@pytest.mark.parametrize("turn", [1, 6])
def test_a_jpeg_that_may_be_smaller_is_decoded_smaller(tmp_path: Path, turn: int) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(COLOUR.resize((160, 96)), exif=exif(turn)))
    found = read_pixels(tmp_path / "a.jpg", lambda stored: (stored[0] // 4, stored[1] // 4))
    width, height = (160, 96) if turn == 1 else (96, 160)
    assert found.stored == (width, height) and found.pixels.shape == (height // 4, width // 4, 3)
    expected = open_rgb(tmp_path / "a.jpg", lambda stored: (stored[0] // 4, stored[1] // 4))
    assert np.array_equal(found.pixels, np.asarray(expected))


def test_another_decoder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds whose JPEG libraries differ read all files by Pillow."""
    (tmp_path / "a.jpg").write_bytes(SHORTER["4:2:0"])
    expected = np.asarray(open_rgb(tmp_path / "a.jpg"))
    decoded = file_pixels._decoded
    monkeypatch.setattr(file_pixels, "_decoded", lambda content: decoded(content) ^ 1)
    same_decoder.cache_clear()
    try:
        assert not same_decoder()
        assert np.array_equal(read_pixels(tmp_path / "a.jpg").pixels, expected)
    finally:
        same_decoder.cache_clear()


def test_without_imagecodecs_pillow_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNGS["PNG"])
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    png_decoder.cache_clear()
    try:
        assert png_decoder() is None
        assert np.array_equal(read_pixels(tmp_path / "a.png").pixels, NOISE)
    finally:
        png_decoder.cache_clear()


def outcome(path: Path, *, shorter: bool) -> np.ndarray | str:
    try:
        return read_pixels(path).pixels if shorter else np.asarray(open_rgb(path))
    except UserError as error:
        return str(error)


@given(name=st.sampled_from(sorted(SHORTER)), data=st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_files_are_read_or_refused_alike(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    content = bytearray(SHORTER[name])
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.jpg"
    path.write_bytes(bytes(content[: data.draw(st.integers(len(content) // 8, len(content)))]))
    found, expected = outcome(path, shorter=True), outcome(path, shorter=False)
    assert found == expected if isinstance(expected, str) else np.array_equal(found, expected)


@pytest.mark.parametrize("missing", [1, 2, 3, 10, 500])
def test_a_truncated_file_is_refused(tmp_path: Path, missing: int) -> None:
    for content in JPEGS.values():
        (tmp_path / "a.jpg").write_bytes(content.rstrip(b"\0")[:-missing])
        expected = outcome(tmp_path / "a.jpg", shorter=False)
        assert isinstance(expected, str)
        assert outcome(tmp_path / "a.jpg", shorter=True) == expected
