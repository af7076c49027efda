"""The confusion matrix of a record as an image."""

from __future__ import annotations

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

    Args:
        counts: int64 (classes, classes), rows true, columns predicted.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    number = len(classes)
    shares = 100 * counts.double() / counts.sum(dim=1, keepdim=True).clamp_min(1)
    cell = 0.5 if number <= COUNTED else 0.24 if number <= 40 else 0.125
    side = max(2.2, min(15.0, cell * number)) if number <= NAMED else 9.5
    beside = largest_confusions(counts, min(LISTED, int(side / LINE) - 1)) if number > COUNTED else []
    longest = max(len(shortened(name)) for name in classes) if number <= NAMED else 4
    around = 0.9 + longest * _letter_size(number) * 0.0095  # inches: names, axis label, heading
    figure = Figure(figsize=(side + around + 0.9 + 2.9 * bool(beside), side + around), layout="compressed")
    grid = figure.add_gridspec(1, 1 + bool(beside), width_ratios=[side, 2.6][: 1 + bool(beside)])
    axes = figure.add_subplot(grid[0, 0])
    image = axes.imshow(shares.numpy(), cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=100))
    bar = figure.colorbar(
        image, ax=axes, shrink=0.7, aspect=28, pad=0.015, ticks=[0, 1, 5, 10, 25, 50, 75, 100]
    )
    bar.set_label("percent of the true class", color=FAINT)
    bar.outline.set_visible(False)
    heading = figure.suptitle(title, fontsize=12, fontweight="bold", color=INK, x=0.01, ha="left")
    heading.set_parse_math(False)
    _name_axes(axes, classes)
    if number <= COUNTED:
        _write_numbers(axes, shares)
    if beside:
        _list_confusions(figure.add_subplot(grid[0, 1]), beside, classes)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", bbox_inches="tight", pad_inches=0.12)


def _letter_size(number: int) -> float:
    """Return the size of the names of so many classes, in points."""
    return 10 if number <= COUNTED else 9 if number <= 40 else 6.5


def _name_axes(axes: Axes, classes: Sequence[str]) -> None:
    """Name every row and column, or number them where there are too many."""
    number = len(classes)
    words = "" if number <= NAMED else " (number of the class)"
    axes.set_xlabel(f"predicted{words}", color=FAINT)
    axes.set_ylabel(f"true{words}", color=FAINT)
    axes.tick_params(length=0)
    if number <= NAMED:
        names = [shortened(name) for name in classes]
        size = _letter_size(number)
        axes.set_xticks(range(number), names, rotation=90, fontsize=size)
        axes.set_yticks(range(number), names, fontsize=size)
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
            label.set_parse_math(False)  # a class may be called $x$
    for spine in axes.spines.values():
        spine.set_color("#c4cad1")
    if number <= 40:  # lines between cells
        for axis, set_ticks in (("x", axes.set_xticks), ("y", axes.set_yticks)):
            set_ticks([index - 0.5 for index in range(1, number)], minor=True)
            axes.grid(which="minor", axis=axis, color="white", linewidth=1)  # type: ignore[arg-type]
        axes.tick_params(which="minor", length=0)


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
