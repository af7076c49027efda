"""The image of a confusion matrix: what is large is dark, and nothing is cut off."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.transfer.plots.confusion import draw_confusion, largest_confusions, shortened


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB")).astype(int)


def names(count: int) -> list[str]:
    return [f"class {index}" for index in range(count)]


def test_the_largest_confusions_are_ranked_by_their_share_of_the_true_class() -> None:
    counts = torch.tensor([[90, 10, 0], [1, 1, 2], [0, 0, 0]])
    expected = [(1, 2, 50.0), (1, 0, 25.0), (0, 1, 10.0)]
    assert largest_confusions(counts, 10) == expected  # a class without images confuses nothing
    assert largest_confusions(counts, 2) == expected[:2]
    assert counts[0, 0] == 90  # left as it was


@pytest.mark.parametrize(("name", "letters"), [("a" * 30 + "b", 12), ("abcdefghij", 9), ("abcdefghij", 4)])
def test_long_names_lose_their_middle(name: str, letters: int) -> None:
    short = shortened(name, letters)
    assert len(short) == letters and short[0] == name[0] and short[-1] == name[-1] and "…" in short


def test_short_names_stay() -> None:
    assert shortened("abcd", 4) == "abcd"


@pytest.mark.parametrize("count", [2, 10, 37, 100, 130])
def test_nothing_touches_the_edge(tmp_path: Path, count: int) -> None:
    """Names, title and numbers end before the image does, however long they are."""
    long = [f"{name} with a name that goes on and on" for name in names(count)]
    title = "a long title: mixmask-seed0 on the data set, linear/patterns@1, seed 0"
    draw_confusion(torch.eye(count, dtype=torch.long) * 7 + 1, long, title, tmp_path / "a.png")
    drawn = pixels(tmp_path / "a.png")
    for edge in (drawn[:4], drawn[-4:], drawn[:, :4], drawn[:, -4:]):
        assert (edge == 255).all()
    assert min(drawn.shape[:2]) > 250 and max(drawn.shape[:2]) < 2600


def test_dark_cells_lie_where_the_counts_are(tmp_path: Path) -> None:
    """Everything of class 0 is taken for class 2, everything else is right: 3 of 9 squares are dark blue."""
    counts = torch.tensor([[0, 0, 5], [0, 5, 0], [0, 0, 5]])
    draw_confusion(counts, names(3), "three", tmp_path / "a.png")
    drawn = pixels(tmp_path / "a.png")
    dark = (abs(drawn - np.array([8, 48, 107])).max(axis=2) < 8)[:, : drawn.shape[1] * 3 // 4]
    rows, columns = np.nonzero(dark)
    top, left = rows.min(), columns.min()
    height, width = (rows.max() - top + 1) / 2, columns.max() - left + 1
    middles = [(top + height * (row / 1.5 + 1 / 3)) for row in range(3)]
    # Column 0 has no dark cell: what is dark spans columns 1 and 2.
    found = [[bool(dark[int(y) - 9, int(left + width * share)]) for share in (0.2, 0.8)] for y in middles]
    assert found == [[False, True], [True, False], [False, True]]


def test_two_percent_are_seen(tmp_path: Path) -> None:
    """The colour follows the root of the share, so that rare confusions are told from none."""
    draw_confusion(torch.tensor([[100, 0], [0, 100]]), names(2), "none", tmp_path / "none.png")
    draw_confusion(torch.tensor([[98, 2], [0, 100]]), names(2), "some", tmp_path / "some.png")
    light = [247, 251, 255]
    shares = [(pixels(tmp_path / f"{name}.png") == light).all(axis=2).sum() for name in ("none", "some")]
    assert shares[1] < 0.6 * shares[0]


def test_names_may_look_like_formulas(tmp_path: Path) -> None:
    draw_confusion(
        torch.eye(20, dtype=torch.long), ["$x", "$y$", *names(18)], "$\\frac{$", tmp_path / "a.png"
    )
    draw_confusion(
        torch.ones((20, 20), dtype=torch.long), ["$x", "$\\y$", *names(18)], "b$", tmp_path / "b.png"
    )
    assert (tmp_path / "a.png").exists() and (tmp_path / "b.png").exists()
