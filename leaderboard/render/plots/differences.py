"""Differences to the baseline with their 95% intervals; coloured where they are beyond chance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmbench.leaderboard.board import Board, Cell, Column, Delta, Row
from mmbench.leaderboard.render.plots import drawing
from mmbench.leaderboard.render.plots.drawing import COLOURS, MOST_ROWS, Plot
from mmbench.leaderboard.render.plots.labels import Labels

ACROSS, PANELS = 3, 6  # panels beside each other, and per figure
PANEL = 2.3  # inches
BINS_HEIGHT = 1.3
KINDS = ("muted", "gain", "loss")
REACH = 2.0  # a panel ends at this multiple of its largest difference; longer intervals are cut


def compared_rows(board: Board) -> list[Row]:
    """Return the rows of the plot: pretrained ones except the baseline, else the controls.

    Controls are many points away and would press the differences that matter into one line.
    """
    others = [row for row in board.rows if not row.baseline and board.baseline is not None]
    return [row for row in others if not row.control] or others


def difference_plots(board: Board) -> list[Plot]:
    """Draw each row's difference to the baseline, a panel per column; at most `PANELS` panels in a plot.

    Of more than `MOST_ROWS` rows a panel shows how many have which difference.
    """
    rows = compared_rows(board)
    if not rows:
        return []
    parts = [board.columns[start : start + PANELS] for start in range(0, len(board.columns), PANELS)]
    return [
        _plot(board, rows, columns, "differences" if part == 0 else f"differences-{part + 1}")
        for part, columns in enumerate(parts)
    ]


def _plot(board: Board, rows: list[Row], columns: Sequence[Column], name: str) -> Plot:
    labels = Labels()
    many = len(rows) > MOST_ROWS
    names = [] if many else [labels.of(row.name) for row in rows]
    left = 0.5 if many else drawing.text_width(names) + drawing.GAP + 0.1
    height = BINS_HEIGHT if many else drawing.row_height(len(rows)) * len(rows)
    across = min(ACROSS, len(columns))
    down = -(-len(columns) // across)
    step = drawing.TOP + height + 0.32
    figure = Figure(figsize=(left + PANEL * across, down * step + 0.3))
    deltas: list[Delta] = []
    for place, column in enumerate(columns):
        x, y = left + PANEL * (place % across), step * (place // across) + drawing.TOP
        axes = drawing.panel(figure, x, y, PANEL - 0.25, height)
        cells = [board.cell(row, column) for row in rows]
        found = [cell.delta for cell in cells if cell is not None and cell.delta is not None]
        deltas += found
        reach = max((abs(delta.value) for delta in found), default=0.0) * REACH or 1.0
        axes.axvline(0, color=COLOURS["baseline"], linewidth=1, linestyle=drawing.DASHES, zorder=1)
        if many:
            axes.set_xlim(-reach, reach)
            _draw_counts(axes, found)
        else:
            _draw_rows(axes, cells, reach)
            drawing.name_rows(axes, names if place % across == 0 else [], rows)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
        drawing.title(axes, labels.of(f"{column.label}, {column.metric}", 30))
    baseline = labels.of(board.baseline or "")
    figure.text(
        left / figure.get_figwidth(),
        0.1 / figure.get_figheight(),
        f"rows by their difference to {baseline}" if many else f"difference to {baseline}, 95% interval",
        fontsize=drawing.SMALL,
        color=COLOURS["muted"],
    )
    beyond = sum(delta.separable for delta in deltas)
    words = (
        f"Differences of {len(rows)} rows to {board.baseline} in {len(columns)} columns; "
        f"{beyond} of {len(deltas)} are beyond chance after Holm's correction"
    )
    return drawing.save(figure, name, words, labels)


def _kind(delta: Delta) -> str:
    """Return the colour role of a difference: grey unless it is beyond chance after correction."""
    if not delta.separable:
        return "muted"
    return "gain" if delta.better else "loss"


def _draw_rows(axes: Axes, cells: list[Cell | None], reach: float) -> None:
    found = [(y, cell.delta) for y, cell in enumerate(cells) if cell is not None and cell.delta is not None]
    intervals = [
        (y, d.interval.low, d.interval.high, COLOURS[_kind(d)]) for y, d in found if d.interval is not None
    ]
    drawing.draw_intervals(axes, intervals, (-reach, reach))
    for y in sorted(set(range(len(cells))) - {y for y, _ in found}):
        axes.text(0, y, "  not measured", color=COLOURS["muted"], fontsize=drawing.SMALL, va="center")
    for kind, hollow in itertools.product(KINDS, (False, True)):
        own = [(d.value, y) for y, d in found if _kind(d) == kind and (d.interval is None) == hollow]
        fill = "none" if hollow else COLOURS[kind]
        if own:
            axes.plot(*zip(*own, strict=True), "o", color=COLOURS[kind], markersize=5.5, markerfacecolor=fill)


def _draw_counts(axes: Axes, deltas: list[Delta]) -> None:
    """Draw how many rows have which difference, by what can be said of them."""
    if deltas:
        groups = [([delta.value for delta in deltas if _kind(delta) == kind], kind) for kind in KINDS]
        drawing.draw_counts(axes, [(values, COLOURS[kind]) for values, kind in groups])
