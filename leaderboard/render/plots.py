"""Board to plots: one per column, and one of the differences to the baseline.

Each is drawn once and saved twice: as a PNG on white, and as an SVG whose colours are CSS variables, so that
the page can show it in a light and in a dark theme.
"""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmbench.leaderboard.board import Board, Cell, Column, Row
from mmbench.leaderboard.render.wording import metric_words

# Colours by role; the page defines a CSS variable of the same name for each.
COLOURS = {
    "ink": "#1c2127",
    "muted": "#66707c",
    "grid": "#dde1e6",
    "arm": "#2463a6",
    "baseline": "#b8540b",
    "control": "#87919c",
    "gain": "#13713a",
    "loss": "#b3261e",
}
ROW_HEIGHT, MARGIN_HEIGHT = 0.34, 0.85  # inches
REACH = 2.0  # the difference plot ends at this multiple of the largest difference; longer bars are cut


@dataclass(frozen=True)
class Plot:
    """One drawing: file name without suffix, words for who cannot see it, PNG bytes, SVG element."""

    name: str
    words: str
    png: bytes
    svg: str


def draw_plots(board: Board) -> tuple[Plot, ...]:
    """Draw every column of the board, then the differences to the baseline if there is one."""
    plots = [_column_plot(board, column) for column in board.columns]
    if compared := compared_rows(board):
        plots.append(_delta_plot(board, compared))
    return tuple(plots)


def role(row: Row) -> str:
    """Return the colour role of an arm."""
    return "baseline" if row.baseline else "control" if row.control else "arm"


def compared_rows(board: Board) -> list[Row]:
    """Return the rows of the difference plot: pretrained arms except the baseline, else the controls.

    Controls are many points away and would press the differences that matter into one line.
    """
    others = [row for row in board.rows if not row.baseline and board.baseline is not None]
    return [row for row in others if not row.control] or others


def _column_plot(board: Board, column: Column) -> Plot:
    """Draw every run as a dot, the mean as a bar across, the baseline's mean as a line."""
    entries = [(row, cell) for row in board.rows if (cell := board.cell(row, column)) is not None]
    figure = Figure(figsize=(4.3, MARGIN_HEIGHT + ROW_HEIGHT * len(entries)), layout="constrained")
    axes = figure.add_subplot()
    for place, (row, cell) in enumerate(entries):
        colour = COLOURS[role(row)]
        if row.baseline:
            axes.axvline(cell.summary.mean, color=colour, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        values = [run.value for run in cell.runs]
        axes.plot(
            values, [place] * len(values), "o", color=colour, markersize=5.5, alpha=0.55, markeredgewidth=0
        )
        axes.plot([cell.summary.mean], [place], "|", color=colour, markersize=15, markeredgewidth=2.2)
    _arm_axis(axes, [row for row, _ in entries])
    axes.set_xlabel(metric_words(column))
    _title(axes, column.label)
    axes.margins(x=0.06)
    first = min(entries, key=lambda entry: entry[1].rank)[0].name
    words = f"{column.label}: every run of {len(entries)} arms in {column.metric}; best mean: {first}"
    return _save(figure, column.name, words)


def _delta_plot(board: Board, rows: list[Row]) -> Plot:
    """Draw each arm's difference to the baseline with its 95% interval, a panel per column."""
    across = min(3, len(board.columns))
    down = -(-len(board.columns) // across)
    size = (1.0 + 2.5 * across, down * (MARGIN_HEIGHT + ROW_HEIGHT * len(rows)))
    figure = Figure(figsize=size, layout="constrained")
    for place, column in enumerate(board.columns):
        axes = figure.add_subplot(down, across, place + 1)
        cells = [board.cell(row, column) for row in rows]
        reach = (
            max((abs(cell.delta.value) for cell in cells if cell and cell.delta), default=0.0) * REACH or 1.0
        )
        axes.axvline(0, color=COLOURS["baseline"], linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for height, (row, cell) in enumerate(zip(rows, cells, strict=True)):
            _delta_bar(axes, height, row, cell, reach)
        axes.set_xlim(-reach, reach)
        _arm_axis(axes, rows, named=place % across == 0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        _title(axes, f"{column.label}, {column.metric}")
    figure.supxlabel(
        f"difference to {board.baseline}, with 95% interval",
        fontsize=9,
        color=COLOURS["muted"],
        parse_math=False,
    )
    return _save(figure, "delta", f"Differences to {board.baseline} in every column with 95% intervals")


def _delta_bar(axes: Axes, height: int, row: Row, cell: Cell | None, reach: float) -> None:
    if cell is None or cell.delta is None:
        axes.text(0, height, "  not measured", color=COLOURS["muted"], fontsize=8, va="center")
        return
    delta, colour = cell.delta, COLOURS["muted"]
    if delta.separable:
        colour = COLOURS["gain"] if delta.better else COLOURS["loss"]
    if delta.interval is not None:
        low, high = max(delta.interval.low, -reach), min(delta.interval.high, reach)
        axes.plot([low, high], [height, height], color=colour, linewidth=2, alpha=0.55, solid_capstyle="butt")
        for bound, end, mark in ((delta.interval.low, -reach, "<"), (delta.interval.high, reach, ">")):
            if abs(bound) > reach and bound * end > 0:
                axes.plot([end * 0.97], [height], mark, color=colour, markersize=5, markeredgewidth=0)
    filled = delta.interval is not None
    axes.plot(
        [delta.value], [height], "o", color=colour, markersize=6, markerfacecolor=colour if filled else "none"
    )


def _title(axes: Axes, words: str) -> None:
    axes.set_title(words, loc="left", fontsize=10, fontweight="bold", color=COLOURS["ink"], parse_math=False)


def _arm_axis(axes: Axes, rows: list[Row], *, named: bool = True) -> None:
    axes.set_yticks(range(len(rows)), [row.name for row in rows] if named else [""] * len(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS["baseline" if row.baseline else "ink"])
        label.set_parse_math(False)  # an arm may be called $x$
    axes.grid(axis="x", color=COLOURS["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.tick_params(axis="x", length=0, labelsize=9, labelcolor=COLOURS["muted"])
    axes.xaxis.label.set_color(COLOURS["muted"])
    axes.xaxis.label.set_fontsize(9)
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _save(figure: Figure, name: str, words: str) -> Plot:
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        png, svg = io.BytesIO(), io.StringIO()
        figure.savefig(png, format="png", dpi=150, facecolor="white", metadata={"Software": None})
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Plot(name, words, png.getvalue(), _themed(svg.getvalue(), words))


def _themed(svg: str, words: str) -> str:
    """Return the bare <svg> element with CSS variables for colours and without ids that could clash."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = svg.replace("xlink:href", "href")
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None, "matplotlib writes a viewBox"
    label = html.escape(words)
    svg = f'<svg viewBox="{box.group(1)}" role="img" aria-label="{label}">{svg[svg.index(">") + 1 :]}'
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.strip()
