"""Facts about images: right for every format and orientation, and read once."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from mmbench.data.annotated.image_files import ImageFacts, image_facts
from mmbench.data.file_facts import fact_database, file_cache
from mmbench.data.file_facts.content_hashes import DATABASE, content_digests


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep facts of few and new files too, and never in this user's own folder."""
    monkeypatch.setattr(fact_database, "WORTH_KEEPING_SECONDS", -1.0)
    monkeypatch.setattr(file_cache, "UNSETTLED_SECONDS", -1000.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files that were opened."""
    names: list[str] = []
    whole = file_cache._read

    def noted(place: str, reading: file_cache.Reading) -> object:
        names.append(Path(place).name)
        return whole(place, reading)

    monkeypatch.setattr(file_cache, "_read", noted)
    yield names


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (40, 30)).save(folder / f"{orientation}.jpg", exif=exif)
    Image.new("LA", (7, 5)).save(folder / "grey.png")
    (folder / "cut.jpg").write_bytes((folder / "1.jpg").read_bytes()[:300])
    (folder / "text.jpg").write_text("hello")
    return folder


PATHS = [f"{orientation}.jpg" for orientation in range(1, 9)]


def test_sizes_and_orientations_are_those_of_pillow(images: Path) -> None:
    for path, facts in zip(PATHS, image_facts(images, PATHS), strict=True):
        assert facts is not None and facts.stored == (40, 30) and facts.problem == ""
        assert facts.orientation == int(path[0])
        with Image.open(images / path) as image:
            from PIL import ImageOps

            assert facts.displayed == ImageOps.exif_transpose(image).size
    assert image_facts(images, ["grey.png"]) == [ImageFacts(7, 5)]


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("ending", ["tif", "png", "webp"])
def test_other_formats_have_the_facts_of_a_jpeg(images: Path, ending: str, compression: str | None) -> None:
    more = {} if compression is None or ending != "tif" else {"compression": compression}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.effect_noise((40, 30), 50).save(images / f"{orientation}.{ending}", exif=exif, **more)
    names = [f"{orientation}.{ending}" for orientation in range(1, 9)]
    assert image_facts(images, names) == image_facts(images, PATHS)
    assert image_facts(images, PATHS) == [ImageFacts(40, 30, orientation) for orientation in range(1, 9)]


def test_what_cannot_be_decoded_says_why(images: Path) -> None:
    for _ in range(2):
        cut, text, missing, folder = image_facts(images, ["cut.jpg", "text.jpg", "none.jpg", "."])
        assert cut is not None and "truncated" in cut.problem.lower()
        assert text is not None and text.problem == "not an image"
        assert missing is None and folder is None


def test_a_damaged_png_is_a_problem(images: Path) -> None:
    Image.effect_noise((40, 30), 50).save(images / "noise.png")
    content = bytearray((images / "noise.png").read_bytes())
    content[len(content) // 2] ^= 1
    (images / "noise.png").write_bytes(content)
    (facts,) = image_facts(images, ["noise.png"])
    assert facts is not None and "broken data stream" in facts.problem


def test_unchanged_images_are_opened_once_and_hashed_on_the_way(images: Path, opened: list[str]) -> None:
    first = image_facts(images, PATHS)
    assert sorted(opened) == PATHS
    opened.clear()
    assert image_facts(images, PATHS) == first
    digests = [hashlib.sha256((images / path).read_bytes()).digest() for path in PATHS]
    assert content_digests(images, PATHS) == digests and opened == []
    Image.new("RGB", (3, 4)).save(images / "5.jpg")
    assert image_facts(images, PATHS)[4] == ImageFacts(3, 4) and opened == ["5.jpg"]


def test_damaged_images_are_tried_again(images: Path, opened: list[str]) -> None:
    image_facts(images, ["cut.jpg"])
    image_facts(images, ["cut.jpg"])
    assert opened == ["cut.jpg", "cut.jpg"]


def test_a_database_of_an_older_version_gains_the_table(images: Path, opened: list[str]) -> None:
    content_digests(images, PATHS)
    with sqlite3.connect(images / DATABASE) as connection:
        connection.execute("DROP TABLE images")
    connection.close()
    opened.clear()
    for _ in range(2):
        assert None not in image_facts(images, PATHS)
    assert sorted(opened) == PATHS


def test_facts_that_took_damaged_pngs_are_read_again(images: Path, opened: list[str]) -> None:
    image_facts(images, PATHS)
    with sqlite3.connect(images / DATABASE) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    opened.clear()
    for _ in range(2):
        digests = content_digests(images, PATHS)  # kept
        assert None not in image_facts(images, PATHS)
    assert sorted(opened) == PATHS
    assert digests == [hashlib.sha256((images / path).read_bytes()).digest() for path in PATHS]
