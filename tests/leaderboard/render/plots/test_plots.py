"""Plots: all are there, bounded in size, in the page's colours, with any name, and the same each time."""

from __future__ import annotations

import io
import itertools
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbench.formatting import Unit
from mmbench.leaderboard.board import Board
from mmbench.leaderboard.render.plots import Plot, draw_plots
from mmbench.leaderboard.render.plots.differences import compared_rows
from mmbench.leaderboard.render.plots.drawing import COLOURS
from mmbench.leaderboard.render.plots.epochs import curves_of, epoch_plots
from mmbench.leaderboard.render.plots.labels import LONGEST, Labels, drawable, shortened
from mmbench.leaderboard.render.plots.pareto import front_of

NAMES = ["mixmask", "erase", "moco", "mscn", "simclr", "random"]


def size_of(plot: Plot) -> tuple[int, int]:
    return Image.open(io.BytesIO(plot.png)).size


def test_a_board_has_every_plot_and_they_hold_its_names(make_board_of: Callable[..., Board]) -> None:
    board = make_board_of(NAMES, baseline="mscn")
    plots = draw_plots(board)
    beyond = [
        "differences",
        "critical-differences",
        "interquartile-means",
        "performance-profiles",
        "cost-gpu",
    ]
    assert [plot.name for plot in plots] == [*(column.name for column in board.columns), *beyond]
    for plot in plots:
        image = np.asarray(Image.open(io.BytesIO(plot.png)).convert("RGB"))
        assert image.shape[1] > 500 and len(np.unique(image.reshape(-1, 3), axis=0)) > 20
        bare = re.sub(r"var\(--[\w-]+, #[0-9a-f]{6}\)", "", plot.svg)
        assert not re.search(r"#[0-9a-f]{6}", bare), "a colour that no theme defines"
        assert ElementTree.fromstring(plot.svg_file).tag == "{http://www.w3.org/2000/svg}svg"
        assert b"var(" not in plot.svg_file
        names = NAMES[:-1] if plot.name in ("differences", "cost-gpu") else NAMES
        shown = [name for name in names if plot.name != "differences" or name != "mscn"]
        assert all(name in plot.svg for name in shown), plot.name
    assert [row.name for row in compared_rows(board)] == ["mixmask", "erase", "moco", "simclr"]


def test_the_bar_over_rows_is_drawn_from_left_to_right(make_board_of: Callable[..., Board]) -> None:
    """scikit-posthocs draws it through a set of names, whose order is another one in every process."""
    names = [f"row {place}" for place in range(12)]
    board = make_board_of(names)
    assert board.overall is not None
    alike = dict.fromkeys(itertools.combinations(names, 2), 0.9)
    board = replace(board, overall=replace(board.overall, critical_difference=alike))
    svg = next(plot.svg for plot in draw_plots(board) if plot.name == "critical-differences")
    lines = [re.findall(r"[ML] ([\d.]+) ([\d.]+)", path) for path in re.findall(r'd="(M [^"]*)"', svg)]
    bars = [line for line in lines if len(line) == len(names) and len({y for _, y in line}) == 1]
    assert len(bars) == 1
    places = [float(x) for x, _ in bars[0]]
    assert places == sorted(places)


def test_arms_at_several_epochs_are_curves(make_board_of: Callable[..., Board]) -> None:
    names = ["moco @ epoch 10", "moco @ epoch 2", "moco", "mixmask @ epoch 2 (b)", "x @ epoch 1 @ epoch 2"]
    names += [f"arm {place} @ epoch {epoch}" for epoch in (1, 3, 5) for place in range(7)]
    board = make_board_of([*names, "random"], columns=2)
    entries = [(row, board.cells[row.name, board.columns[0].key]) for row in board.rows]
    curves = curves_of(entries)
    assert list(curves) == [*(f"arm {place}" for place in range(7)), "moco"]
    assert list(curves["moco"]) == [2, 10] and list(curves["arm 3"]) == [1, 3, 5]
    assert curves["moco"][10] is board.cells["moco @ epoch 10", board.columns[0].key]
    plots = [plot for plot in draw_plots(board) if plot.name.startswith("epochs-")]
    assert [plot.name for plot in plots] == [f"epochs-{column.name}" for column in board.columns]
    for plot in plots:
        bare = re.sub(r"var\(--[\w-]+, #[0-9a-f]{6}\)", "", plot.svg)
        assert not re.search(r"#[0-9a-f]{6}", bare), "a colour that no theme defines"
        assert "arm 5" in plot.svg and "arm 6" not in plot.svg and "2 more arms left out" in plot.svg
        assert "arm 0 from" in plot.words and "at epoch 1 to" in plot.words
    few = draw_plots(make_board_of(["moco @ epoch 1", "mixmask @ epoch 2", "random"]))
    assert not [plot for plot in few if plot.name.startswith("epochs-")]


@pytest.mark.parametrize(
    ("unit", "values", "words"),
    [("nats", (0.0041, 0.0022), "0.004 to 0.002"), ("count", (100.4, 8.0), "100 to 8")],
)
def test_curves_are_described_in_the_decimals_of_the_unit(
    make_board_of: Callable[..., Board], unit: Unit, values: tuple[float, float], words: str
) -> None:
    names = ["moco @ epoch 1", "moco @ epoch 4"]
    board = make_board_of(names, columns=1)
    [column] = board.columns
    losses = replace(column, unit=unit, higher_is_better=False)
    cells = {}
    for name, value in zip(names, values, strict=True):
        cell = board.cells[name, column.key]
        cells[name, column.key] = replace(cell, summary=replace(cell.summary, mean=value))
    [plot] = epoch_plots(replace(board, columns=(losses,), cells=cells))
    first, last = words.split(" to ")
    assert plot.words.endswith(f": moco from {first} at epoch 1 to {last} at epoch 4")


def test_only_differences_beyond_chance_are_coloured(make_board_of: Callable[..., Board]) -> None:
    board = make_board_of(NAMES, baseline="mscn")

    def uses(board: Board, colour: str) -> int:
        svg = next(plot.svg for plot in draw_plots(board) if plot.name == "differences")
        return len(re.findall(rf"<use [^>]*fill: var\(--{colour},", svg))

    separable = [
        cell.delta.better
        for (name, _), cell in board.cells.items()
        if name != "random" and cell.delta is not None and cell.delta.separable
    ]
    assert uses(board, "gain") == separable.count(True) == 6
    cells = {
        key: replace(cell, delta=cell.delta and replace(cell.delta, adjusted_p=0.2))
        for key, cell in board.cells.items()
    }
    grey = replace(board, cells=cells)
    assert uses(grey, "gain") == uses(grey, "loss") == 0


def test_no_figure_grows_with_the_number_of_rows(make_board_of: Callable[..., Board]) -> None:
    sizes = []
    for rows in (60, 400):
        names = [f"arm {place:04d}" for place in range(rows)]
        plots = draw_plots(make_board_of(names, 2, baseline=names[30]))
        sizes.append([size_of(plot) for plot in plots])
        assert max(height for _, height in sizes[-1]) < 1400
        for plot in plots[:2]:
            assert ">21. arm" not in plot.svg and ">31. arm 0030<" in plot.svg
            assert f"{rows} rows" in plot.words
    assert sizes[0] == sizes[1]


def test_the_same_board_gives_the_same_bytes(make_board_of: Callable[..., Board]) -> None:
    board = make_board_of(NAMES, baseline="mscn")
    assert draw_plots(board) == draw_plots(board)


def test_hostile_names_are_drawn_without_a_warning_and_kept_in_the_svg(
    make_board_of: Callable[..., Board], hostile_names: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    board = make_board_of(hostile_names, 1, baseline=hostile_names[3], labels=hostile_names[5:6])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots = draw_plots(board)
    assert capfd.readouterr().err == ""
    texts = [text.text for text in ElementTree.fromstring(plots[0].svg_file).findall(".//{*}text")]
    for name in hostile_names:
        if len(name) <= LONGEST and name.isprintable():
            assert name in texts


def test_a_plot_without_ranks_or_baseline_is_left_out(make_board_of: Callable[..., Board]) -> None:
    board = replace(make_board_of(NAMES, 2), overall=None)
    unranked = tuple(replace(row, mean_rank=None) for row in board.rows)
    assert len(draw_plots(replace(board, rows=unranked))) == 2


def test_the_front_holds_what_no_cheaper_row_reaches() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        points = {str(n): (float(x), float(y)) for n, (x, y) in enumerate(rng.integers(1, 6, (8, 2)))}
        front = front_of(points)
        for cost, score in points.values():
            beaten = any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points.values())
            same = any(points[other] == (cost, score) for other in front)
            assert same == (not beaten)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), unique=True, max_size=6))
def test_no_two_names_are_drawn_alike_and_all_have_glyphs(names: list[str]) -> None:
    labels = Labels()
    drawn = [labels.of(name) for name in names]
    assert len(set(drawn)) == len(names)
    assert all(ord(letter) in drawable() for text in drawn for letter in text)
    assert all(len(text) <= LONGEST + 4 for text in drawn)
    assert [labels.of(name) for name in names] == drawn
    assert all(len(shortened(name, 20)) <= 20 for name in names)


def test_every_colour_has_a_name_of_a_css_variable() -> None:
    assert all(re.fullmatch(r"[a-z]+(-\d)?", name) for name in COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS)
