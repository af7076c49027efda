"""The confusion matrix of a record as an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mmbench.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 120  # more classes than these get their numbers at the axes
COUNTED = 15  # more classes than these get no numbers in the cells, and a list of the largest instead
LISTED = 30  # confusions on that list, at most
LINE = 0.2  # inches per line of that list
LETTERS = 24  # of a class's name
INK, FAINT = "#1c2127", "#66707c"
DPI = 110
HEADING_SIZE = 12  # points
# Inches: margin around everything, between parts, of the heading, of the words at an axis, of the scale of
# colours, of numbers at the axes and at the scale, and of the list.
EDGE, GAP, HEADING, AXIS_WORDS, BAR, NUMBERS, LIST_WIDTH = 0.12, 0.12, 0.42, 0.2, 0.13, 0.34, 2.9
SCALE = (0, 1, 5, 10, 25, 50, 75, 100)  # percent


def shortened(name: str, letters: int = LETTERS) -> str:
    """Return the name, with its middle left out where it is longer than `letters`.

    Names often differ at the end as well as at the start.

    >>> shortened("staffordshire_bull_terrier", 15)
    'staffor…terrier'
    """
    if len(name) <= letters:
        return name
    end = (letters - 1) // 2
    return f"{name[: letters - 1 - end]}…{name[len(name) - end :]}"


def largest_confusions(counts: Tensor, count: int) -> list[tuple[int, int, float]]:
    """Return (true, predicted, percent of the true class) of the largest confusions, the largest first."""
    shares = 100 * counts.double() / counts.sum(dim=1, keepdim=True).clamp_min(1)
    shares.fill_diagonal_(0)
    ranked, cells = shares.flatten().sort(descending=True, stable=True)
    pairs = zip(ranked[:count].tolist(), cells[:count].tolist(), strict=True)
    return [(cell // len(counts), cell % len(counts), share) for share, cell in pairs if share > 0]


def draw_confusion(counts: Tensor, classes: Sequence[str], title: str, path: Path) -> None:
    """Draw shares per true class (rows add up to 100 percent) as a PNG.

    The colour follows the root of the share, so that a confusion of 2 percent is seen. Of many classes, the
    largest confusions are listed beside the matrix.

    Places are computed from the extents of the names: matplotlib's layout engines and its tight bounding box
    would take more than twice as long.

    Args:
        counts: int64 (classes, classes), rows true, columns predicted.
    """
    from matplotlib.figure import Figure

    number = len(classes)
    shares = 100 * counts.double() / counts.sum(dim=1, keepdim=True).clamp_min(1)
    cell = 0.5 if number <= COUNTED else 0.24 if number <= 40 else 0.125
    side = max(2.2, min(15.0, cell * number)) if number <= NAMED else 9.5
    beside = largest_confusions(counts, min(LISTED, int(side / LINE) - 1)) if number > COUNTED else []
    names = [shortened(name) for name in classes] if number <= NAMED else []
    figure = Figure(dpi=DPI)
    longest = max((_extent(name, _letter_size(number)) for name in names), default=NUMBERS)
    left = bottom = EDGE + AXIS_WORDS + longest + GAP
    right = GAP + BAR + NUMBERS + AXIS_WORDS + EDGE + (LIST_WIDTH if beside else 0)
    heading = 2 * EDGE + _extent(title, HEADING_SIZE, bold=True)
    width, height = max(left + side + right, heading), bottom + side + HEADING
    figure.set_size_inches(width, height)

    def placed(x: float, y: float, wide: float, tall: float) -> Axes:
        return figure.add_axes((x / width, y / height, wide / width, tall / height))

    axes = placed(left, bottom, side, side)
    axes.imshow(shares.numpy(), **_colours())
    _name_axes(axes, names, number, (GAP / 2 / side, (longest + GAP) / side))
    if number <= COUNTED:
        _write_numbers(axes, shares)
    bar = placed(left + side + GAP, bottom + 0.15 * side, BAR, 0.7 * side)
    _draw_scale(bar, (BAR + NUMBERS + GAP) / BAR)
    if beside:
        list_left = left + side + right - LIST_WIDTH
        _list_confusions(placed(list_left, bottom, LIST_WIDTH, side), beside, classes)
    style: dict[str, Any] = {
        "fontsize": HEADING_SIZE,
        "fontweight": "bold",
        "color": INK,
        "parse_math": False,
    }
    figure.text(EDGE / width, 1 - EDGE / height, title, va="top", **style)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=DPI, format="png")


def _colours() -> dict[str, Any]:
    """Return how shares are coloured."""
    from matplotlib.colors import PowerNorm

    return {"cmap": "Blues", "norm": PowerNorm(0.5, vmin=0, vmax=100)}


def _extent(words: str, size: float, *, bold: bool = False) -> float:
    """Return the width of words in inches; `size` is in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(words, font, ismath=False)
    return width / 72


def _letter_size(number: int) -> float:
    """Return the size of the names of so many classes, in points."""
    return 10 if number <= COUNTED else 9 if number <= 40 else 6.5


def _name_axes(axes: Axes, names: Sequence[str], number: int, away: tuple[float, float]) -> None:
    """Name every row and column, or number them where there are no names.

    Names are texts and lines between cells are lines: a tick takes ten times as long as either.

    Args:
        away: how far names, and the words "true" and "predicted", are from the matrix, in its sides.
    """
    near, far = away
    words = "" if names else " (number of the class)"
    across, along = axes.get_xaxis_transform(), axes.get_yaxis_transform()  # one axis in sides, one in cells
    middle = (number - 1) / 2
    axes.text(middle, -far, f"predicted{words}", ha="center", va="top", color=FAINT, transform=across)
    style: dict[str, Any] = {"ha": "right", "va": "center", "rotation": 90, "color": FAINT}
    axes.text(-far, middle, f"true{words}", transform=along, **style)
    axes.tick_params(length=0)
    if names:
        axes.set_xticks([])
        axes.set_yticks([])
        style = {"fontsize": _letter_size(number), "parse_math": False}  # a class may be called $x$
        for index, name in enumerate(names):
            axes.text(index, -near, name, ha="center", va="top", rotation=90, transform=across, **style)
            axes.text(-near, index, name, ha="right", va="center", transform=along, **style)
    for spine in axes.spines.values():
        spine.set_color("#c4cad1")
    if number <= 40:  # lines between cells
        between = [index - 0.5 for index in range(1, number)]
        axes.hlines(between, -0.5, number - 0.5, color="white", linewidth=1)
        axes.vlines(between, -0.5, number - 0.5, color="white", linewidth=1)


def _draw_scale(axes: Axes, away: float) -> None:
    """Draw which colour is which share.

    Args:
        away: how far the words are from the left of the scale, in its widths.
    """
    import numpy as np

    places = np.linspace(0, 1, 256)
    axes.imshow(100 * places[:, None] ** 2, origin="lower", aspect="auto", extent=(0, 1, 0, 1), **_colours())
    axes.set_axis_off()
    for share in SCALE:
        axes.text(1.6, math.sqrt(share / 100), f"{share}", va="center")
    axes.text(away, 0.5, "percent of the true class", va="center", rotation=90, color=FAINT)


def _write_numbers(axes: Axes, shares: Tensor) -> None:
    """Write the share into every cell that has one."""
    for row, values in enumerate(shares.tolist()):
        for column, value in enumerate(values):
            if value > 0:
                words = f"{value:.0f}" if value >= 0.5 else "<1"
                colour = "white" if value > 36 else INK
                axes.text(column, row, words, ha="center", va="center", color=colour, fontsize=9)


def _list_confusions(axes: Axes, beside: list[tuple[int, int, float]], classes: Sequence[str]) -> None:
    """Write the largest confusions as a list, starting at the top of the matrix."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.set_axis_off()
    style: dict[str, Any] = {"va": "top", "transform": axes.transAxes, "parse_math": False}
    axes.text(0, 1, "largest confusions, percent", fontsize=9, fontweight="bold", color=INK, **style)
    for line, (true, predicted, share) in enumerate(beside, start=1):
        height = 1 - LINE * line / figure.get_figheight()
        words = f"{shortened(classes[true], 18)} → {shortened(classes[predicted], 18)}"
        axes.text(0, height, f"{share:.0f}", fontsize=8, color=INK, **style)
        axes.text(0.12, height, words, fontsize=8, color=FAINT, **style)
