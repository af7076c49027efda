"""The contact sheet of neighbours: whose they are, how they are framed, and that they are the nearest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.data.types import ImageSplit
from mmbench.errors import UserError
from mmbench.transfer.plots import feature_plots
from mmbench.transfer.plots.feature_plots import SplitFeatures, chosen_rows, draw_feature_plots
from mmbench.transfer.plots.neighbours import (
    CAPTION,
    CELL,
    FRAME,
    GAP,
    MARGIN,
    RIGHT,
    WRONG,
    draw_neighbours,
    share_a_class,
    words_of,
)

SIDE, TOP = 96, MARGIN + 62  # images of 32 px are enlarged three times
STEP, ROW = SIDE + 2 * FRAME + GAP, SIDE + 2 * FRAME + CAPTION + GAP
FIRST = MARGIN + STEP + GAP


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB")).astype(int)


def plain(shades: list[int], side: int = 32) -> torch.Tensor:
    """Return images of one grey each, (N, 3, side, side)."""
    return torch.tensor(shades, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, side, side).clone()


def draw(path: Path, **changes: object) -> np.ndarray:
    values: dict[str, object] = {
        "query_images": plain([10, 20]),
        "bank_images": plain([100, 110, 120, 130, 140]),
        "index": torch.tensor([[0, 3, 1], [2, 4, 0]]),
        "cosine": torch.tensor([[0.9, 0.8, 0.7], [0.6, 0.5, -0.4]]),
        "query_labels": torch.tensor([0, 1]),
        "bank_labels": torch.tensor([0, 0, 1, 1, 1]),
        "classes": ("a", "b"),
        "title": "an arm",
        "path": path,
    }
    values |= changes
    queries = ImageSplit(values.pop("query_images"), values.pop("query_labels"))  # type: ignore[arg-type]
    bank = ImageSplit(values.pop("bank_images"), values.pop("bank_labels"))  # type: ignore[arg-type]
    draw_neighbours(queries, bank, **values)  # type: ignore[arg-type]
    return pixels(path)


def frames(drawn: np.ndarray, rows: int, columns: int) -> list[list[tuple[int, ...]]]:
    """Return the colour of every frame's left side; it must be the same all the way down."""
    found = []
    for row in range(rows):
        y, line = TOP + row * ROW, []
        for column in range(columns):
            x = FIRST + column * STEP
            edge = drawn[y : y + SIDE + 2 * FRAME, x : x + FRAME].reshape(-1, 3)
            assert (edge == edge[0]).all()
            line.append(tuple(edge[0].tolist()))
        found.append(line)
    return found


def shade(drawn: np.ndarray, row: int, x: int) -> int:
    """Return the grey at the middle of an image."""
    colour = drawn[TOP + row * ROW + FRAME + SIDE // 2, x + FRAME + SIDE // 2]
    assert (colour == colour[0]).all()
    return int(colour[0])


def test_frames_show_whether_the_class_agrees(tmp_path: Path) -> None:
    drawn = draw(tmp_path / "a.png")
    assert frames(drawn, 2, 3) == [[RIGHT, WRONG, RIGHT], [RIGHT, RIGHT, WRONG]]


def test_the_query_is_on_the_left_and_neighbours_are_in_order(tmp_path: Path) -> None:
    drawn = draw(tmp_path / "a.png")
    assert [shade(drawn, row, MARGIN) for row in (0, 1)] == [10, 20]
    found = [[shade(drawn, row, FIRST + column * STEP) for column in range(3)] for row in (0, 1)]
    assert found == [[100, 130, 110], [120, 140, 100]]


def test_the_mark_is_readable_without_colour(tmp_path: Path) -> None:
    """A cross has white pixels above its middle on both sides, a tick only on the right."""
    drawn = draw(tmp_path / "a.png")

    def above(column: int) -> list[bool]:
        x, y = FIRST + column * STEP + SIDE + 2 * FRAME - 10, TOP + 9
        white = (drawn[y - 6 : y - 2, x - 6 : x + 7] == 255).all(axis=2).any(axis=0)
        return [bool(white[:5].any()), bool(white[8:].any())]

    assert above(0) == [False, True] and above(1) == [True, True]


def test_the_sheet_is_as_large_as_its_rows(tmp_path: Path) -> None:
    columns = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2]] * 3)
    drawn = draw(
        tmp_path / "a.png",
        index=columns,
        cosine=torch.ones(3, 8),
        query_images=plain([1, 2, 3]),
        query_labels=torch.zeros(3, dtype=torch.int64),
    )
    assert drawn.shape == (TOP + 3 * ROW - GAP + MARGIN, FIRST + 8 * STEP - GAP + MARGIN, 3)


@pytest.mark.parametrize(("stored", "shown"), [(40, 80), (96, 96), (224, 96), (20, 80)])
def test_images_of_any_size_fit(tmp_path: Path, stored: int, shown: int) -> None:
    drawn = draw(tmp_path / "a.png", query_images=plain([1, 2], stored), bank_images=plain([9] * 5, stored))
    assert drawn.shape[0] == TOP + 2 * (shown + 2 * FRAME + CAPTION + GAP) - GAP + MARGIN
    assert shown <= CELL


def test_long_names_and_titles_are_cut(tmp_path: Path) -> None:
    names = ("a name that goes on and on " * 4, "another " * 20)
    drawn = draw(tmp_path / "a.png", classes=names, title="title " * 60)
    assert drawn.shape == draw(tmp_path / "b.png").shape
    assert (drawn[:, -MARGIN + 2 :] == drawn[0, 0]).all()
    assert frames(drawn, 2, 3) == [[RIGHT, WRONG, RIGHT], [RIGHT, RIGHT, WRONG]]


def test_with_several_labels_one_in_common_is_right(tmp_path: Path) -> None:
    query = torch.tensor([[1, 1, 0], [0, 0, 0]])
    bank = torch.tensor([[0, 1, 1], [-1, 0, 1], [1, 0, 0], [0, 0, -1], [0, 0, 0]])
    assert [share_a_class(query[0], label) for label in bank] == [True, False, True, False, False]
    assert not share_a_class(query[1], bank[4])
    names = ("a", "b", "c")
    assert [words_of(label, names) for label in (*query, bank[1])] == ["a, b", "(none)", "c"]
    assert words_of(torch.tensor(2), names) == "c"
    drawn = draw(tmp_path / "a.png", query_labels=query, bank_labels=bank, classes=names)
    assert frames(drawn, 2, 3) == [[RIGHT, WRONG, WRONG], [WRONG] * 3]


def make_split(name: str, count: int, asked: list[torch.Tensor], seed: int) -> SplitFeatures:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 3

    def at(indices: torch.Tensor) -> torch.Tensor:
        asked.append(indices)
        return images[indices]

    return SplitFeatures(name, torch.randn((count, 6), generator=generator), labels, at)


def test_neighbours_are_the_nearest_and_only_their_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(feature_plots, "draw_neighbours", lambda *given: seen.extend(given))
    asked: list[torch.Tensor] = []
    bank, queries = make_split("train", 400, asked, 0), make_split("test", 30, asked, 1)
    draw_feature_plots(bank, queries, ("a", "b", "c"), "an arm", tmp_path / "record.json", seed=2)
    rows, read = asked
    assert queries.labels[rows].tolist() == [0, 0, 1, 1, 2, 2]
    shown, neighbours, index, cosine, *_ = seen
    for row, query in enumerate(queries.features[rows]):
        similar = [float(torch.nn.functional.cosine_similarity(query, item, dim=0)) for item in bank.features]
        nearest = sorted(range(400), key=lambda item: -similar[item])[:8]
        assert read[index[row]].tolist() == nearest
        assert cosine[row].tolist() == pytest.approx([similar[item] for item in nearest], abs=1e-5)
    assert len(read) == len(set(read.tolist())) <= 48
    assert torch.equal(neighbours.labels, bank.labels[read])
    assert torch.equal(neighbours.images, bank.images(read))
    assert torch.equal(shown.images, queries.images(rows))


def test_both_images_are_written_beside_the_record(tmp_path: Path) -> None:
    bank, queries = make_split("train", 40, [], 0), make_split("test", 30, [], 1)
    record = tmp_path / "arm-v1.5-seed0.json"
    paths = draw_feature_plots(bank, queries, ("a", "b", "c"), "an arm", record)
    names = ["arm-v1.5-seed0.embedding.png", "arm-v1.5-seed0.neighbours.png"]
    assert [path.name for path in paths] == names == sorted(path.name for path in tmp_path.iterdir())
    first = [path.read_bytes() for path in paths]
    assert [
        path.read_bytes() for path in draw_feature_plots(bank, queries, ("a", "b", "c"), "an arm", record)
    ] == first


def test_a_small_bank_has_fewer_neighbours_and_an_empty_one_none(tmp_path: Path) -> None:
    queries = make_split("test", 6, [], 1)
    _, path = draw_feature_plots(
        make_split("train", 3, [], 0), queries, ("a", "b", "c"), "t", tmp_path / "a.json"
    )
    assert frames(pixels(path), 1, 3)[0].count(RIGHT) == 1
    empty = SplitFeatures("train", torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64), queries.images)
    with pytest.raises(UserError, match="the bank holds 0 images"):
        draw_feature_plots(empty, queries, ("a", "b", "c"), "t", tmp_path / "b.json")
    assert not list(tmp_path.glob("b.*"))


def test_rows_are_balanced_and_at_most_twenty() -> None:
    labels = torch.arange(4).repeat(50)
    assert labels[chosen_rows(labels, 0)].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert not torch.equal(chosen_rows(labels, 0), chosen_rows(labels, 1))
    many = torch.arange(37).repeat(5)
    shown = many[chosen_rows(many, 0)]
    assert len(shown) == len(shown.unique()) == 20 and shown.tolist() == sorted(shown.tolist())
