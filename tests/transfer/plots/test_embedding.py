"""t-SNE of features: which images are drawn, that a seed repeats, and what the marks show."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from mmbench.errors import UserError
from mmbench.transfer.plots.embedding import (
    COLOURS,
    chosen,
    draw_embedding,
    embed,
    first_labels,
    mark_of,
    most_compact,
)


def clusters(count: int, per_class: int, spread: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (N, 16) around a direction per class, and labels."""
    generator = torch.Generator().manual_seed(0)
    middles = torch.randn((count, 16), generator=generator)
    labels = torch.arange(count).repeat(per_class)
    return middles[labels] + spread * torch.randn((len(labels), 16), generator=generator), labels


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB")).astype(int)


def has_colour(drawn: np.ndarray, colour: str) -> bool:
    """Return whether the colour is there; the marks let a quarter of the white through."""
    wanted = 255 * (0.75 * np.array(to_rgb(colour)) + 0.25)
    return bool((abs(drawn - wanted).max(axis=2) < 4).sum() > 20)


def test_the_draw_is_balanced_and_repeats_with_its_seed() -> None:
    labels = torch.tensor([0] * 500 + [1] * 50 + [2] * 3)[torch.randperm(553)]
    drawn = chosen(labels, 60, seed=4)
    assert drawn.tolist() == sorted(set(drawn.tolist())) and len(drawn) == 60
    counts = labels[drawn].bincount().tolist()
    assert counts[2] == 3 and abs(counts[0] - counts[1]) <= 1
    assert torch.equal(drawn, chosen(labels, 60, seed=4)) and not torch.equal(
        drawn, chosen(labels, 60, seed=5)
    )
    assert chosen(labels, 1000, seed=0).tolist() == list(range(553))


def test_of_very_many_classes_a_hundred_are_drawn() -> None:
    labels = torch.arange(1000).repeat(30)
    shown = labels[chosen(labels, 2000, seed=0)]
    assert shown.unique(return_counts=True)[1].tolist() == [20] * 100
    assert len(chosen(labels, 20, seed=0)) == 20


def test_of_several_labels_the_first_counts() -> None:
    labels = torch.tensor([[0, 1, 1], [1, 0, 0], [0, -1, 0], [-1, 0, 1]])
    assert first_labels(labels).tolist() == [1, 0, -1, 2]
    assert first_labels(torch.tensor([3, 1])).tolist() == [3, 1]


def test_the_same_seed_gives_the_same_points_and_length_does_not_matter() -> None:
    features, _ = clusters(3, 20)
    points = embed(features, seed=1)
    assert points.shape == (60, 2) and points.dtype == torch.float32 and torch.isfinite(points).all()
    assert torch.equal(points, embed(features, seed=1))
    torch.testing.assert_close(embed(features.half().float() * 4, seed=1), embed(features.half(), seed=1))


def test_clusters_stay_clusters() -> None:
    """The nearest point of nearly every point is of its class; of features that know nothing, a third is."""
    features, labels = clusters(3, 30)
    distances = torch.cdist(embed(features, seed=0), embed(features, seed=0)).fill_diagonal_(torch.inf)
    assert (labels[distances.argmin(dim=1)] == labels).float().mean() > 0.97


@pytest.mark.parametrize(("count", "width"), [(4, 8), (7, 1), (12, 2)])
def test_few_images_and_narrow_features_will_do(count: int, width: int) -> None:
    features = torch.randn((count, width), generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(embed(features, seed=0)).all()


def test_three_images_are_too_few() -> None:
    with pytest.raises(UserError, match="t-SNE of 3 images shows nothing; give it four or more"):
        embed(torch.randn(3, 5), seed=0)


def test_forty_classes_have_marks_of_their_own() -> None:
    marks = [mark_of(label) for label in range(40)]
    assert len(set(marks)) == 40
    for first, second in itertools.pairwise(marks):
        assert first[0] != second[0] and first[1] != second[1]
    assert mark_of(-1) not in marks


def test_the_most_compact_classes_come_first() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat(10)
    noise = torch.randn((40, 2), generator=generator) * torch.tensor([3.0, 1.0, 9.0, 0.1])[labels].view(-1, 1)
    points = noise + 20 * labels.view(-1, 1)
    assert most_compact(points, labels, 3) == [3, 1, 0]
    rare = torch.cat([labels, torch.tensor([4, 4, -1])])  # a pair and no class are not named
    assert sorted(most_compact(torch.cat([points, torch.zeros(3, 2)]), rare, 9)) == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [2, 10, 100, 1000])
def test_the_image_shows_its_classes_and_cuts_nothing(tmp_path: Path, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count).repeat(max(2, 200 // count))
    points = torch.randn((len(labels), 2), generator=generator)
    names = [f"class {index} with a name that goes on and on" for index in range(count)]
    draw_embedding(points, labels, names, "an arm on a data set, test", tmp_path / "a.png")
    drawn = pixels(tmp_path / "a.png")
    for edge in (drawn[:5], drawn[-5:], drawn[:, :5], drawn[:, -5:]):
        assert (edge == 255).all()
    seen = [has_colour(drawn, colour) for colour in COLOURS]
    del seen[6]  # nearly that of the letters
    assert seen == [index < count for index in (0, 1, 2, 3, 4, 5, 7)]
    assert 900 < drawn.shape[0] < 1300 and 900 < drawn.shape[1] < 1500


def test_marks_lie_where_the_points_are(tmp_path: Path) -> None:
    points = torch.tensor([[-5.0, 5.0], [-5.1, 5.0], [5.0, -5.0], [5.1, -5.0]])
    draw_embedding(points, torch.tensor([0, 0, 1, 1]), ["a", "b"], "t", tmp_path / "a.png")
    drawn = pixels(tmp_path / "a.png")[:, :-110]  # without the legend
    middles = []
    for colour in COLOURS[:2]:
        wanted = 255 * (0.75 * np.array(to_rgb(colour)) + 0.25)
        rows, columns = np.nonzero(abs(drawn - wanted).max(axis=2) < 4)
        middles.append((rows.mean(), columns.mean()))
    assert middles[0][0] < middles[1][0] - 400  # the first is above
    assert middles[0][1] < middles[1][1] - 400  # and to the left


def test_images_with_several_labels_or_none_are_drawn(tmp_path: Path) -> None:
    labels = torch.tensor([[1, 1], [0, 1], [0, 0], [0, -1]] * 5)
    points = torch.randn((20, 2), generator=torch.Generator().manual_seed(0))
    draw_embedding(points, labels, ["$a", "b$"], "$\\frac{$", tmp_path / "a.png")
    drawn = pixels(tmp_path / "a.png")
    assert [has_colour(drawn, colour) for colour in COLOURS[:3]] == [True, True, False]
