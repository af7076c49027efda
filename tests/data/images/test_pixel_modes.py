"""Pixels of every kind become upright 8-bit RGB by stated rules, or are refused in one line."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mmbench.data.images.decoding import open_rgb, read_image
from mmbench.data.images.file_crops import generator_of, random_crops
from mmbench.errors import UserError
from mmbench.images.crop_rule import CropRule
from mmbench.images.crops import draw_crops


def ramp(low: float, high: float, kind: type) -> np.ndarray:
    return np.linspace(low, high, 24 * 30).reshape(24, 30).astype(kind)


def opened(path: Path, image: Image.Image, **options: object) -> np.ndarray:
    image.save(path, **options)
    return np.asarray(open_rgb(path))


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        open_rgb(path)
    assert "\n" not in str(error.value) and path.name in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_keeps_its_high_byte(tmp_path: Path, name: str) -> None:
    values = ramp(0, 65535, np.uint16)
    found = opened(tmp_path / name, Image.fromarray(values))
    assert np.array_equal(found, np.repeat(values[:, :, None] // 256, 3, axis=2))


def test_16_bit_big_endian_tiff(tmp_path: Path) -> None:
    values = ramp(0, 65535, np.dtype(">u2"))  # type: ignore[arg-type]
    image = Image.frombytes("I;16B", (30, 24), values.tobytes())
    assert np.array_equal(opened(tmp_path / "a.tif", image)[:, :, 0], values.astype(int) // 256)


def png_16_bit_rgb(values: np.ndarray) -> bytes:
    """A PNG of 16 bits per channel, which Pillow cannot write; values uint16 (H, W, 3)."""
    import struct
    import zlib

    height, width, _ = values.shape
    rows = b"".join(b"\0" + values[row].astype(">u2").tobytes() for row in range(height))

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_16_bit_colour(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (24, 30, 3), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit_rgb(values))
    assert np.array_equal(np.asarray(open_rgb(tmp_path / "a.png")), values // 256)
    (tmp_path / "b.png").write_bytes(png_16_bit_rgb(values // 16))
    assert "fewer than 16 grey levels" in refused(tmp_path / "b.png")


@pytest.mark.parametrize("largest", [1, 200, 1023, 4095])
def test_fewer_bits_than_the_type_says(tmp_path: Path, largest: int) -> None:
    Image.fromarray(ramp(0, largest, np.uint16)).save(tmp_path / "a.png")
    assert f"up to {largest} only" in refused(tmp_path / "a.png")


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_2000_is_read_or_refused(tmp_path: Path, bits: int, channels: int) -> None:
    """Pillow 13 adds half a step before it cuts colours to 8 bits, and the brightest become black."""
    values = np.linspace(0, 2**bits - 1, 20 * 30 * channels).reshape(20, 30, channels)
    stored = values.astype(np.uint16 if bits > 8 else np.uint8).squeeze()
    (tmp_path / "a.jp2").write_bytes(
        imagecodecs.jpeg2k_encode(stored, reversible=True, bitspersample=bits, level=0)
    )
    if bits > 8 and (channels > 1 or bits == 9):
        assert f"JPEG 2000 of {bits} bits, whose brightest values are lost" in refused(tmp_path / "a.jp2")
    else:
        found = np.asarray(open_rgb(tmp_path / "a.jp2")).astype(int)
        assert abs(found - values[..., :3] * 255 / (2**bits - 1)).max() <= 1


def test_a_black_16_bit_image_is_black(tmp_path: Path) -> None:
    assert not opened(tmp_path / "a.png", Image.fromarray(np.zeros((8, 8), np.uint16))).any()


def test_32_bit_integers(tmp_path: Path) -> None:
    small, large = ramp(0, 255, np.int32), ramp(0, 65535, np.int32)
    assert np.array_equal(opened(tmp_path / "a.tif", Image.fromarray(small))[:, :, 1], small)
    assert np.array_equal(opened(tmp_path / "b.tif", Image.fromarray(large))[:, :, 1], large // 256)
    for low, high, words in ((-5, 90, "from -5 to 90"), (0, 10**6, "to 1000000"), (0, 3000, "up to 3000")):
        Image.fromarray(ramp(low, high, np.int32)).save(tmp_path / "c.tif")
        assert words in refused(tmp_path / "c.tif")


def test_floating_point(tmp_path: Path) -> None:
    unit, byte = ramp(0, 1, np.float32), ramp(0, 255, np.float32)
    assert np.array_equal(opened(tmp_path / "a.tif", Image.fromarray(unit))[:, :, 2], np.rint(unit * 255))
    assert np.array_equal(opened(tmp_path / "b.tif", Image.fromarray(byte))[:, :, 2], np.rint(byte))
    for low, high in ((-1, 1), (0, 1.5), (0, 10), (0, 1000), (0, np.inf), (0, np.nan)):
        values = ramp(0, 1, np.float32)
        values[0, 0], values[-1, -1] = low, high
        Image.fromarray(values).save(tmp_path / "c.tif")
        assert "floating-point" in refused(tmp_path / "c.tif")


COLOURS = np.random.default_rng(1).integers(0, 256, (24, 30, 3), dtype=np.uint8)


def test_transparency_is_dropped_and_the_colours_beneath_are_kept(tmp_path: Path) -> None:
    alpha = np.random.default_rng(2).integers(0, 2, (24, 30, 1), dtype=np.uint8) * 255
    found = opened(tmp_path / "a.png", Image.fromarray(np.concatenate([COLOURS, alpha], axis=2), "RGBA"))
    assert np.array_equal(found, COLOURS)
    grey = np.concatenate([COLOURS[:, :, :1], alpha], axis=2)
    assert np.array_equal(opened(tmp_path / "b.png", Image.fromarray(grey, "LA"))[:, :, 2], COLOURS[:, :, 0])
    paletted = Image.fromarray(COLOURS).quantize(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = opened(tmp_path / "c.png", paletted, transparency=bytes(range(0, 160, 10)))
    assert np.array_equal(found, np.asarray(paletted.convert("RGB")))


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "a.webp", "a.tif"):
        extra = {"lossless": True} if name.endswith("webp") else {}
        found = opened(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], **extra)
        assert (found == (255, 0, 0)).all(), name


def test_two_levels(tmp_path: Path) -> None:
    bits = np.random.default_rng(3).integers(0, 2, (24, 30)).astype(bool)
    assert np.array_equal(opened(tmp_path / "a.png", Image.fromarray(bits))[:, :, 0], bits * 255)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_images_are_upright(tmp_path: Path, turn: int, name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, :30], pixels[:20, 60:] = (255, 0, 0), (0, 0, 255)
    extra = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(
        Path(name).suffix, {}
    )
    found = opened(tmp_path / name, Image.fromarray(pixels), exif=exif, **extra)
    with Image.open(tmp_path / name) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    assert found.shape == upright.shape == ((60, 90, 3) if turn < 5 else (90, 60, 3))
    assert np.array_equal(found, upright)
    if turn == 6:  # the camera's left side is up
        assert (found[5, 30] == found[5, 50]).all() and found[5, 30, 0] > 200
    square = read_image(tmp_path / name, 30)
    assert square.shape == (30, 30, 3)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_crops_of_turned_images_are_those_of_upright_ones(tmp_path: Path, turn: int) -> None:
    """In an image whose colours are its upright coordinates a crop tells its rectangle."""
    down, across = np.meshgrid(np.arange(240), np.arange(160), indexing="ij")
    upright = Image.fromarray(np.stack([across, down, 0 * down], axis=2).astype(np.uint8))
    undo = {
        1: None,
        3: Image.Transpose.ROTATE_180,
        6: Image.Transpose.ROTATE_90,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright if undo[turn] is None else upright.transpose(undo[turn])  # type: ignore[arg-type]
    exif = Image.Exif()
    exif[0x0112] = turn
    for name in ("a.png", "a.jpg"):
        stored.save(tmp_path / name, exif=exif, **({"quality": 100} if name == "a.jpg" else {}))
        pair = torch.empty((2, 3, 16, 16), dtype=torch.uint8)
        random_crops(tmp_path / name, pair, CropRule((0.3, 0.9), (0.75, 1.33)), generator_of(turn))
        crops = draw_crops(2, (240, 160), CropRule((0.3, 0.9), (0.75, 1.33)), generator_of(turn))
        top, left, tall, wide = (values.tolist() for values in crops)
        for view in range(2):
            for channel, start, length in ((0, left[view], wide[view]), (1, top[view], tall[view])):
                line = pair[view, channel].float().mean(dim=1 if channel == 1 else 0)
                expected = start + (torch.arange(16) + 0.5) * length / 16 - 0.5
                assert (line - expected)[2:-2].abs().max() < (1.5 if name == "a.png" else 8)


def test_damaged_orientation_is_none(tmp_path: Path) -> None:
    for value in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = value
        Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
        assert np.array_equal(np.asarray(open_rgb(tmp_path / "a.png")), COLOURS)
    Image.fromarray(COLOURS).save(tmp_path / "b.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(np.asarray(open_rgb(tmp_path / "b.png")), COLOURS)


def test_a_damaged_png_is_refused_with_and_without_a_tag(tmp_path: Path) -> None:
    """Pillow decodes a PNG to look for its tag, and says only then that it is damaged."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    for turn in (None, 1, 6):
        exif = Image.Exif()
        exif[0x0112] = turn
        stream = io.BytesIO()
        Image.fromarray(noise).save(stream, "PNG", exif=None if turn is None else exif)
        content = bytearray(stream.getvalue())
        content[len(content) // 2] ^= 1
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(OSError):
            np.asarray(Image.open(tmp_path / "a.png"))
        assert "broken data stream" in refused(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (2, 30_000)])
def test_extreme_shapes_cost_no_memory(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = 0
    real = Image.Image.resize

    def resize(
        self: Image.Image, wanted: tuple[int, int], *arguments: object, **options: object
    ) -> Image.Image:
        nonlocal largest
        largest = max(largest, wanted[0] * wanted[1])
        return real(self, wanted, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", resize)
    Image.new("RGB", size, (9, 90, 200)).save(tmp_path / "a.png")
    for side in (40, 256):
        found = read_image(tmp_path / "a.png", side)
        assert found.shape == (side, side, 3) and (found == (9, 90, 200)).all()
    crops = torch.empty((2, 3, 32, 32), dtype=torch.uint8)
    random_crops(tmp_path / "a.png", crops, CropRule((0.08, 1.0), (0.75, 1.33)), generator_of(0))
    assert crops.shape == (2, 3, 32, 32) and crops.unique().tolist() == [9, 90, 200]
    assert largest <= 2**24


def test_the_middle_of_a_long_image_is_what_a_whole_resize_would_give(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (2, 24_000, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    whole = Image.fromarray(pixels).resize((40 * 12_000, 40), Image.Resampling.BILINEAR, reducing_gap=3.0)
    left = (whole.width - 40) // 2
    expected = np.asarray(whole.crop((left, 0, left + 40, 40))).astype(int)
    found = read_image(tmp_path / "a.png", 40).astype(int)
    assert np.abs(found - expected).max() <= 1


def test_bombs_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (400, 400)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "exceeds limit" in refused(tmp_path / "a.png")


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(COLOURS).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], Path]:
    folder = tmp_path_factory.mktemp("damaged")

    def write(content: bytes) -> Path:
        (folder / "a.png").write_bytes(content)
        return folder / "a.png"

    return write


WHOLE = {kind: encoded(kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "ICO")}


@given(kind=st.sampled_from(sorted(WHOLE)), data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_refused_in_one_line_where_pillow_refuses_them(
    damaged: Callable[[bytes], Path], kind: str, data: st.DataObject
) -> None:
    content = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = damaged(bytes(content[: data.draw(st.integers(1, len(content)))]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert open_rgb(path).mode == "RGB"
        except UserError as error:
            assert "\n" not in str(error) and "a.png" in str(error)
        else:
            with Image.open(path) as image:
                image.load()  # raises nothing either
