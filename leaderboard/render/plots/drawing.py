"""What all plots share: colours, figures of a fixed layout, axes with a row per name, PNG and SVG."""

from __future__ import annotations

import contextlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from mmbench.leaderboard.board import Row
from mmbench.leaderboard.render.plots.labels import Labels

# Colours by role. Each is a CSS variable of the same name in the page, with the colour here as its fallback.
# The series are of Okabe and Ito's palette, which colour-blind readers can distinguish
# (https://jfly.uni-koeln.de/color), with purple for the orange that the baseline has.
COLOURS = {
    "ink": "#1c2127",
    "muted": "#66707c",
    "grid": "#dde1e6",
    "arm": "#2463a6",
    "baseline": "#b8540b",
    "control": "#87919c",
    "gain": "#13713a",
    "loss": "#b3261e",
    "series-1": "#0072b2",
    "series-2": "#7b5ea7",
    "series-3": "#009e73",
    "series-4": "#cc79a7",
    "series-5": "#56b4e9",
    "series-6": "#e69f00",
}
MOST_ROWS = 40  # a plot of more rows shows the best ones and how the others are distributed
BEST_ROWS = 20
BINS = 30
SIZE = 9  # points, of names and titles
SMALL = 8
TOP, BOTTOM, GAP = 0.34, 0.5, 0.12  # inches: title, axis with its label, space beside names
DASHES = (0, (4, 3))


@dataclass(frozen=True)
class Plot:
    """One drawing.

    Attributes:
        name: file name without suffix.
        words: what it shows, for who cannot see it.
        svg: an element to put into a page, whose colours are the page's CSS variables.
        svg_file: the same as a file of its own, with its own colours and font.
    """

    name: str
    words: str
    png: bytes
    svg: str
    svg_file: bytes


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in matplotlib's own defaults, whatever the user's settings are, and never read names as maths."""
    defaults = matplotlib.rcParamsDefault
    kept: dict[Any, Any] = {
        name: value for name, value in defaults.items() if not name.startswith(("backend", "interactive"))
    }
    kept |= {"text.parse_math": False, "font.family": ["DejaVu Sans"], "svg.fonttype": "none"}
    with matplotlib.rc_context(kept):
        yield


def role(row: Row) -> str:
    """Return the colour role of a row."""
    return "baseline" if row.baseline else "control" if row.control else "arm"


def best_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows to draw one by one, in the given order: all, or the first ones and the baseline."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    return [row for place, row in enumerate(rows) if place < BEST_ROWS or row.baseline]


def row_height(rows: int) -> float:
    """Return the height in inches of one of `rows` rows."""
    return 0.3 if rows <= 12 else 0.22


def text_width(texts: Sequence[str], size: float = SIZE) -> float:
    """Return the width in inches of the widest text."""
    font = FontProperties(family="DejaVu Sans", size=size)
    widths = [text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] for text in texts]
    return max(widths, default=0.0) / 72


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return axes at a place in inches from the left upper corner of the figure."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.patch.set_alpha(0)
    axes.grid(axis="x", color=COLOURS["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", length=0, labelsize=SMALL, labelcolor=COLOURS["muted"])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def name_rows(axes: Axes, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Give the vertical axis a line per row, the first at the top; without names, lines alone."""
    axes.set_yticks(range(len(rows)), names or [""] * len(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", labelsize=SIZE, pad=6)
    if not axes.get_ylabel():
        axes.yaxis.set_label_coords(0, 0)  # else all names are measured a second time to place no label
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS["baseline" if row.baseline else "ink"])


def title(axes: Axes, words: str, offset: float = 0.0) -> None:
    """Put a title above axes; `offset` inches further left than they begin."""
    box = axes.get_position()
    figure = axes.get_figure(root=True)
    assert figure is not None
    across, down = figure.get_size_inches()
    x, y = box.x0 - offset / across, box.y1 + 0.09 / down
    figure.text(x, y, words, fontsize=SIZE + 1, fontweight="bold", color=COLOURS["ink"])


def axis_label(axes: Axes, words: str) -> None:
    """Label the horizontal axis."""
    axes.set_xlabel(words, fontsize=SMALL, color=COLOURS["muted"])


def draw_intervals(
    axes: Axes, intervals: Sequence[tuple[float, float, float, str]], limits: tuple[float, float]
) -> None:
    """Draw intervals as lines; where one leaves the limits of the axes it ends in an arrow.

    Args:
        axes: where to draw; its horizontal limits become `limits`.
        intervals: of each its height, lower end, upper end and colour.
        limits: ends of the axis.
    """
    axes.set_xlim(*limits)
    for colour in dict.fromkeys(colour for *_, colour in intervals):
        own = [(height, low, high) for height, low, high, other in intervals if other == colour]
        axes.hlines(
            [height for height, _, _ in own],
            [max(low, limits[0]) for _, low, _ in own],
            [min(high, limits[1]) for _, _, high in own],
            color=colour,
            linewidth=2,
            alpha=0.5,
        )
        for mark, end, cut in (
            ("<", limits[0], [height for height, low, _ in own if low < limits[0]]),
            (">", limits[1], [height for height, _, high in own if high > limits[1]]),
        ):
            if cut:
                axes.plot(
                    [end] * len(cut), cut, mark, color=colour, markersize=5, markeredgewidth=0, clip_on=False
                )


def draw_counts(axes: Axes, groups: Sequence[tuple[Sequence[float], str]]) -> None:
    """Draw how many values lie where: the groups, each with its colour, on top of each other."""
    values = [value for group, _ in groups for value in group]
    edges = np.histogram_bin_edges(values, BINS)
    below = np.zeros(BINS)
    for group, colour in groups:
        if len(group):
            above = below + np.histogram(group, edges)[0]
            axes.stairs(above, edges, baseline=below, fill=True, color=colour)
            below = above
    axes.grid(visible=False)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))


def save(figure: Figure, name: str, words: str, labels: Labels) -> Plot:
    """Return the figure as a plot; call within `style`."""
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    element = _element(svg.getvalue(), labels)
    box = re.search(r'viewBox="([^"]*)"', element)
    assert box is not None, "matplotlib writes a viewBox"
    head = f'viewBox="{box.group(1)}" role="img" aria-label="{html.escape(words)}"'
    content = element[element.index(">") + 1 :].strip()
    themed = re.sub(r"<[^>]*>", lambda tag: _themed(tag.group()), content)
    width, height = (f"{72 * inches:.0f}pt" for inches in figure.get_size_inches())
    file = (
        '<?xml version="1.0" encoding="utf-8"?>\n<svg xmlns="http://www.w3.org/2000/svg" '
        f'width="{width}" height="{height}" {head}>{content}\n'
    )
    return Plot(name, words, png.getvalue(), f"<svg {head}>{themed}", file.encode())


def _element(svg: str, labels: Labels) -> str:
    """Return the bare <svg> element of matplotlib's file, with every character of the names."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", tag.group()), svg)
    svg = re.sub(r"<[^>]*>", lambda tag: tag.group().replace("xlink:href", "href"), svg)
    for drawn, shown in labels.replaced().items():
        ends = [f">{html.escape(text, quote=False)}</text>" for text in (drawn, shown)]
        svg = svg.replace(ends[0], ends[1])
    return svg


def _themed(tag: str) -> str:
    """Return a tag with CSS variables for its colours and the page's own font."""
    tag = re.sub(r"font-family: [^;\"]*", "font-family: inherit", tag)
    tag = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", tag)
    for name, colour in COLOURS.items():
        tag = tag.replace(colour, f"var(--{name}, {colour})")
    return tag
