"""Figures beside the record of a dense training: how they are drawn safely, and the curves of its losses."""

from __future__ import annotations

import colorsys
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from mmbench.distributed import on_main
from mmbench.files import atomic_path

GAP, MARGIN, HEADING = 8, 18, 30  # of a sheet of images, px
PAGE, INK, FAINT = (255, 255, 255), (28, 33, 39), (102, 112, 124)

Colour = tuple[int, int, int]


def draw_each(
    drawings: Mapping[str, Callable[[Path], None]], folder: Path
) -> tuple[dict[str, Path], list[str]]:
    """Draw figures into a folder, in the first of several processes.

    A figure that cannot be drawn costs no record: it is omitted, and a note says why.

    Args:
        drawings: name of a file -> what draws it.

    Returns:
        The figures as `Measurement.files` takes them, and notes.
    """

    def draw() -> tuple[dict[str, Path], list[str]]:
        files, notes = {}, []
        for name, drawing in drawings.items():
            try:
                drawing(folder / name)
                files[name] = folder / name
            except Exception as error:  # hours of training are worth more than a figure
                notes.append(f"{name} is not drawn: {type(error).__name__}: {error}")
        return files, notes

    return on_main(draw)


def read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (iteration, value) of each number in a file of JSON lines, by name.

    Iterations count from 1. Of an iteration that a continued run went through twice, the last line holds;
    an incomplete last line of an interrupted run is skipped.
    """
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        for name, value in values.items():
            if "iteration" in values and isinstance(value, int | float):
                found[name][values["iteration"] + 1] = value
    return {name: sorted(values.items()) for name, values in found.items() if name != "iteration"}


def draw_losses(metrics: Path, title: str, path: Path) -> None:
    """Draw the total loss, its parts and the learning rate over the iterations as a PNG.

    Raises:
        ValueError: the file holds no loss.
    """
    from matplotlib.figure import Figure

    curves = read_curves(metrics)
    parts = sorted(name for name in curves if name.startswith("loss"))
    if "total_loss" not in curves:
        raise ValueError(f"{metrics.name} holds no total_loss")
    ink, faint = (tuple(channel / 255 for channel in colour) for colour in (INK, FAINT))
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    heading = figure.suptitle(title, fontsize=12, fontweight="bold", color=ink, x=0.01, ha="left")
    heading.set_parse_math(False)
    few = "o" if len(curves["total_loss"]) < 5 else ""
    for index, name in enumerate(parts):
        colour = tuple(channel / 255 for channel in class_colour(index))
        above.plot(*zip(*curves[name], strict=True), color=colour, lw=1.3, marker=few, label=name)
    above.plot(*zip(*curves["total_loss"], strict=True), color=ink, lw=2, marker=few, label="total_loss")
    above.set_ylim(bottom=0)
    above.set_ylabel("loss", color=faint)
    above.legend(frameon=False, fontsize=9, loc="upper right")
    if "lr" in curves:
        below.plot(*zip(*curves["lr"], strict=True), color=ink, lw=1.5, marker=few)
        below.set_ylim(bottom=0)
    below.set_ylabel("learning rate", color=faint)
    below.set_xlabel("iteration", color=faint)
    for axes in (above, below):
        axes.grid(color="#e4e7eb", linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def class_colour(index: int) -> Colour:
    """Return a colour that differs from those of the indices near it (hues a golden angle apart)."""
    red, green, blue = colorsys.hsv_to_rgb(
        (0.58 + index * 0.381966) % 1, 0.8, (0.9, 0.7, 0.8)[index // 5 % 3]
    )
    return round(255 * red), round(255 * green), round(255 * blue)


def letters(text: str, most: int = 24) -> str:
    """Return text on one line, shortened if it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
