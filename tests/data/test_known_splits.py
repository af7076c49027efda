"""Splits that are identified by files which did not change."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.data import known_splits
from mmbench.data.folder import image_files
from mmbench.data.known_splits import KnownSplit, split_of_files
from mmbench.data.types import ImageFiles, ImageSplit
from mmbench.errors import UserError

CLASSES, SIZE = ("bright", "dark"), 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = draws.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    return tmp_path


def read(folder: Path, size: int = SIZE) -> ImageSplit:
    return split_of_files(image_files(folder, CLASSES), size)


@pytest.fixture(autouse=True)
def _kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep facts of six files too, which are read faster than facts are worth keeping."""
    monkeypatch.setattr("mmbench.data.file_facts.fact_database.WORTH_KEEPING_SECONDS", -1.0)


def test_unchanged_files_are_identified_without_decoding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(folder)
    decoded = []

    def decode(files: ImageFiles, size: int) -> ImageSplit:
        decoded.append(size)
        return original(files, size)

    original = known_splits.decode
    monkeypatch.setattr(known_splits, "decode", decode)
    again = read(folder)
    assert isinstance(again, KnownSplit)
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again.labels, torch.tensor([0, 0, 0, 1, 1, 1]))
    assert len(again) == 6
    assert decoded == []
    assert torch.equal(again.images, first.images)
    assert again.images is again.images
    assert decoded == [SIZE]
    assert ImageSplit(again.images, again.labels).fingerprint == first.fingerprint


def test_a_changed_pixel_is_noticed(folder: Path) -> None:
    first = read(folder)
    place = folder / "dark" / "1.png"
    with Image.open(place) as image:
        pixels = np.array(image)
    pixels[3, 4, 1] ^= 1
    Image.fromarray(pixels).save(place)
    changed = read(folder)
    assert not isinstance(changed, KnownSplit)
    assert changed.fingerprint == ImageSplit(changed.images, changed.labels).fingerprint != first.fingerprint
    assert read(folder).fingerprint == changed.fingerprint


def test_labels_belong_to_the_identity(folder: Path) -> None:
    first = read(folder)
    (folder / "dark" / "1.png").rename(folder / "bright" / "3.png")
    moved = read(folder)
    assert not isinstance(moved, KnownSplit)
    assert moved.fingerprint != first.fingerprint


def test_sizes_are_kept_apart(folder: Path) -> None:
    first, smaller = read(folder), read(folder, 6)
    assert smaller.images.shape == (6, 3, 6, 6)
    assert (read(folder).fingerprint, read(folder, 6).fingerprint) == (first.fingerprint, smaller.fingerprint)
    assert isinstance(read(folder, 6), KnownSplit)


def test_a_damaged_image_is_refused_each_time(folder: Path) -> None:
    place = folder / "dark" / "1.png"
    place.write_bytes(place.read_bytes()[:60])
    for _ in range(2):
        with pytest.raises(UserError, match=r"dark/1\.png cannot be read as an image"):
            read(folder)


def test_a_file_that_cannot_be_opened_is_refused(folder: Path) -> None:
    files = ImageFiles(folder, ["dark/0.png", "dark/missing.png"], torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UserError, match=r"dark/missing\.png cannot be read"):
        split_of_files(files, SIZE)


def test_images_that_vanish_before_they_are_decoded_are_reported(folder: Path) -> None:
    read(folder)
    known = read(folder)
    (folder / "dark" / "1.png").unlink()
    with pytest.raises(UserError, match=r"dark/1\.png cannot be read"):
        _ = known.images


def test_another_decoder_decodes_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder)
    monkeypatch.setattr("PIL.__version__", "0.0.1")
    assert not isinstance(read(folder), KnownSplit)
