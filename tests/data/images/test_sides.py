"""Sizes that are said are those of the files."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from mmbench.data import ImageFiles, load_dataset
from mmbench.data.images.sides import SAMPLE, sides, sides_of_files
from mmbench.tools.data_check import check_dataset


def write(root: Path, sizes: list[tuple[int, int]]) -> ImageFiles:
    root.mkdir(parents=True)
    names = [f"{index:04}.png" for index in range(len(sizes))]
    for name, size in zip(names, sizes, strict=True):
        Image.new("RGB", size).save(root / name)
    return ImageFiles(root, names, torch.zeros(len(sizes), dtype=torch.int64))


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([(28, 28)] * 3, "28 px files"),
        ([(40, 28), (28, 60)], "28 px files (short side)"),
        ([(20, 20), (30, 50), (60, 40)], "20 to 40 px files (short sides; median 30)"),
        ([(1, 6000)], "1 px files (short side)"),
    ],
)
def test_short_sides_in_words(tmp_path: Path, sizes: list[tuple[int, int]], words: str) -> None:
    assert str(sides_of_files(write(tmp_path / "a", sizes))) == words


def test_the_median_is_that_of_evenly_spread_files(tmp_path: Path) -> None:
    """Sorted by class: the first 256 would all be of the first one."""
    files = write(tmp_path / "a", [(10, 10)] * (2 * SAMPLE) + [(90, 90)] * (3 * SAMPLE))
    found = sides_of_files(files)
    assert found is not None and (found.least, found.median, found.most) == (10, 90, 90)


def test_files_that_cannot_be_read_have_no_size(tmp_path: Path) -> None:
    files = write(tmp_path / "a", [(28, 28)] * 3)
    (tmp_path / "a" / "0000.png").write_bytes(b"no image")
    (tmp_path / "a" / "0001.png").unlink()
    found = sides_of_files(files)
    assert found is not None and found.median == 28
    (tmp_path / "a" / "0002.png").write_bytes(b"")
    assert sides_of_files(files) == found  # read once
    assert sides_of_files(ImageFiles(files.root, files.paths, files.labels)) is None


@pytest.mark.parametrize("side", [28, 64, 300])
def test_data_check_says_the_size_of_the_files(tmp_path: Path, side: int) -> None:
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            write(tmp_path / "set" / split / name, [(side, side)] * 2)
    facts, _ = check_dataset(str(tmp_path / "set"), tmp_path)
    for split, fact in zip(("train", "val", "test"), facts, strict=False):
        assert fact.startswith(split) and f"4 images of {side} px," in fact
    found = sides(load_dataset(str(tmp_path / "set")), "test")
    assert found is not None and found.files and found.median == side


@pytest.mark.parametrize(
    ("sizes", "share", "much"),
    [
        ([(28, 28)] * 3, 1.0, False),
        ([(640, 480), (375, 500)], 0.75, False),
        ([(667, 500)], 500 / 667, False),
        ([(600, 400)], 2 / 3, True),
        ([(200, 40), (40, 200), (90, 90)], 0.2, True),
        ([(200, 40), (90, 90), (90, 90)], 1.0, False),
    ],
)
def test_what_centre_squares_hold(
    tmp_path: Path, sizes: list[tuple[int, int]], share: float, much: bool
) -> None:
    """Photos of 4:3 are no reason to say something, those of 3:2 are."""
    found = sides_of_files(write(tmp_path / "a", sizes))
    assert found is not None and found.in_square == pytest.approx(share) and found.much_cut == much
