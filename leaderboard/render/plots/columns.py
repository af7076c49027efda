"""A plot per column: every run, the mean of every row and its interval."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmbench.leaderboard.board import Board, Cell, Column, Row
from mmbench.leaderboard.render.plots import drawing
from mmbench.leaderboard.render.plots.drawing import BEST_ROWS, COLOURS, MOST_ROWS, Plot
from mmbench.leaderboard.render.plots.labels import Labels
from mmbench.leaderboard.render.wording import metric_words

WIDTH = 4.6  # inches
BINS_HEIGHT = 0.9
ROOM = 0.12  # the axis reaches this share of the range of runs beyond them, for their intervals

Entry = tuple[Row, Cell]


def column_plot(board: Board, column: Column) -> Plot:
    """Draw a column: a dot per run, a bar across at the mean, its 95% interval, the baseline's mean.

    Of more than `MOST_ROWS` rows the best ones and the baseline are drawn so, and below them how many rows
    have which mean.
    """
    labels = Labels()
    entries = [(row, cell) for row in board.rows if (cell := board.cell(row, column)) is not None]
    many = len(entries) > MOST_ROWS
    if many:
        entries.sort(key=lambda entry: entry[1].rank)
    drawn = {row.name for row in drawing.best_rows([row for row, _ in entries])}
    shown = [entry for entry in entries if entry[0].name in drawn]
    places = {row.name: f"{cell.rank:g}. " if many else "" for row, cell in entries}
    names = [places[row.name] + labels.of(row.name) for row, _ in shown]
    left = drawing.text_width(names) + drawing.GAP + 0.1
    height = drawing.row_height(len(shown)) * len(shown)
    bins = BINS_HEIGHT + 0.62 if many else 0.0
    figure = Figure(figsize=(max(WIDTH, left + 2.4), drawing.TOP + height + bins + drawing.BOTTOM))
    width = figure.get_figwidth() - left - 0.15
    axes = drawing.panel(figure, left, drawing.TOP, width, height)
    values = [run.value for _, cell in shown for run in cell.runs]
    room = ROOM * (max(values) - min(values)) or 1.0
    limits = (min(values) - room, max(values) + room)
    bounds = [(place, cell.summary.interval) for place, (_, cell) in enumerate(shown)]
    grey = COLOURS["control"]
    drawing.draw_intervals(axes, [(y, i.low, i.high, grey) for y, i in bounds if i is not None], limits)
    for role in ("arm", "baseline", "control"):
        own = [(place, cell) for place, (row, cell) in enumerate(shown) if drawing.role(row) == role]
        colour, means = COLOURS[role], [cell.summary.mean for _, cell in own]
        runs = [(run.value, place) for place, cell in own for run in cell.runs]
        if own:
            axes.plot(*zip(*runs, strict=True), "o", color=colour, markersize=5, alpha=0.5, markeredgewidth=0)
            axes.plot(means, [place for place, _ in own], "|", color=colour, markersize=12, markeredgewidth=2)
        if role == "baseline":
            _mark(axes, means)
    drawing.name_rows(axes, names, [row for row, _ in shown])
    drawing.title(axes, labels.of(column.label, 48), left - 0.1)
    if many:
        axes = drawing.panel(figure, left, drawing.TOP + height + 0.5, width, BINS_HEIGHT)
        means = [cell.summary.mean for _, cell in entries]
        drawing.draw_counts(axes, [(means, COLOURS["control"])])
        _mark(axes, [cell.summary.mean for row, cell in entries if row.baseline])
        axes.set_ylabel("rows", fontsize=drawing.SMALL, color=COLOURS["muted"])
    drawing.axis_label(axes, labels.of(metric_words(column), 60))
    return drawing.save(figure, column.name, _words(column, entries, shown), labels)


def _mark(axes: Axes, means: list[float]) -> None:
    """Draw a dashed line at the mean of the baseline, if it is there."""
    for mean in means:
        axes.axvline(mean, color=COLOURS["baseline"], linewidth=1, linestyle=drawing.DASHES, zorder=1)


def _words(column: Column, entries: list[Entry], shown: list[Entry]) -> str:
    first = min(entries, key=lambda entry: entry[1].rank)
    several = "" if len(shown) == len(entries) else f"; the best {BEST_ROWS} and the baseline one by one"
    return (
        f"{column.label}: every run and the mean of {len(entries)} rows in {column.metric}{several}; "
        f"highest rank: {first[0].name}"
    )
