"""Which files go to a device's decoder, and that only their headers are read."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.data.images.encoded_jpegs import encoded_jpeg
from mmbench.data.images.image_places import StoredImage

WIDTH, HEIGHT = 61, 45
COLOUR = Image.fromarray(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(turn: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = turn
    return found


USUAL = {
    "4:2:0": encoded(COLOUR, subsampling="4:2:0"),
    "4:4:4": encoded(COLOUR, subsampling="4:4:4"),
    "progressive": encoded(COLOUR, progressive=True),
    "grey": encoded(COLOUR.convert("L")),
    "upright": encoded(COLOUR, exif=turned(1)),
    "padded with zeros": encoded(COLOUR) + b"\0" * 40,
}
ODD = {
    "CMYK": encoded(COLOUR.convert("CMYK")),
    "turned": encoded(COLOUR, exif=turned(6)),
    "stored as RGB": encoded(COLOUR, keep_rgb=True),
    "PNG": encoded(COLOUR, "PNG"),
    "without an end": encoded(COLOUR)[:-2],
    "cut off": encoded(COLOUR)[:600],
    "followed by something": encoded(COLOUR) + b"x",
    "no image": b"<html>",
    "empty": b"",
}


@pytest.mark.parametrize("name", [*USUAL, *ODD])
def test_usual_jpegs_alone_are_handed_over(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    content = {**USUAL, **ODD}[name]
    (tmp_path / "a.jpg").write_bytes(content)
    for place in (tmp_path / "a.jpg", StoredImage("a.jpg", memoryview(content))):
        found = encoded_jpeg(place)
        assert (found is not None) == (name in USUAL)
        if found is not None:
            assert bytes(found.content) == content and found.stored == (WIDTH, HEIGHT)


def test_a_file_that_is_not_there_is_left_to_its_reader(tmp_path: Path) -> None:
    assert encoded_jpeg(tmp_path / "none.jpg") is None
    assert encoded_jpeg(tmp_path) is None
