"""Performance profiles and interquartile means of the normalised scores (Agarwal et al. 2021)."""

from __future__ import annotations

from matplotlib.figure import Figure

from mmbench.formatting import rounded
from mmbench.leaderboard.board import Board, Row
from mmbench.leaderboard.render.plots import drawing
from mmbench.leaderboard.render.plots.drawing import COLOURS, Plot
from mmbench.leaderboard.render.plots.labels import Labels

WIDTH = 4.6  # inches
LINES = 6  # rows that a profile names, with the baseline one more
PROFILE_WIDTH, PROFILE_HEIGHT = 3.2, 2.0
SOURCE = "Agarwal et al. 2021"


def iqm_plot(board: Board) -> Plot | None:
    """Draw the interquartile mean of each row's normalised scores with its 95% interval, the best first."""
    rows = _rows(board)
    if len(rows) < 2 or board.overall is None:
        return None
    labels, values = Labels(), board.overall.iqm
    shown = drawing.best_rows(rows)
    names = [labels.of(row.name) for row in shown]
    left = drawing.text_width(names) + drawing.GAP + 0.1
    height = drawing.row_height(len(shown)) * len(shown)
    figure = Figure(figsize=(max(WIDTH, left + 2.4), drawing.TOP + height + drawing.BOTTOM))
    axes = drawing.panel(figure, left, drawing.TOP, figure.get_figwidth() - left - 0.15, height)
    means = [values[row.name][0] for row in shown]
    room = 0.4 * (max(means) - min(means)) or 0.1
    limits = min(means) - room, max(means) + room
    bounds = [
        (y, low, high, COLOURS[drawing.role(row)])
        for y, row in enumerate(shown)
        for _, low, high in (values[row.name],)
        if low is not None and high is not None
    ]
    drawing.draw_intervals(axes, bounds, limits)
    for y, (row, mean) in enumerate(zip(shown, means, strict=True)):
        axes.plot([mean], [y], "o", color=COLOURS[drawing.role(row)], markersize=5.5)
    drawing.name_rows(axes, names, shown)
    several = "" if len(shown) == len(rows) else f", the best {len(shown)} of {len(rows)} rows"
    drawing.title(axes, f"Interquartile mean{several}", left - 0.1)
    drawing.axis_label(axes, f"normalised score, 95% interval ({SOURCE})")
    words = f"Interquartile mean of the normalised scores with 95% intervals{several}: " + ", ".join(
        f"{row.name} {rounded(values[row.name][0], 3)}" for row in shown[:10]
    )
    return drawing.save(figure, "interquartile-means", words, labels)


def profile_plot(board: Board) -> Plot | None:
    """Draw which share of a row's runs reaches a normalised score: of the best rows and the baseline."""
    rows = _rows(board)
    if len(rows) < 2 or board.overall is None or not board.overall.thresholds:
        return None
    labels = Labels()
    shown = [row for place, row in enumerate(rows) if place < LINES or row.baseline]
    names = [labels.of(row.name) for row in shown]
    left, right = 0.55, drawing.text_width(names) + 0.75
    figure = Figure(figsize=(left + PROFILE_WIDTH + right, drawing.TOP + PROFILE_HEIGHT + drawing.BOTTOM))
    axes = drawing.panel(figure, left, drawing.TOP, PROFILE_WIDTH, PROFILE_HEIGHT)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.8)
    series = 0
    for row, name in zip(shown, names, strict=True):
        colour = "baseline"
        if not row.baseline:
            series += 1
            colour = f"series-{series}"
        axes.plot(
            board.overall.thresholds,
            board.overall.profiles[row.name],
            color=COLOURS[colour],
            linestyle=drawing.DASHES if row.baseline else "-",
            linewidth=1.6,
            label=name,
        )
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("share of runs", fontsize=drawing.SMALL, color=COLOURS["muted"])
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        fontsize=drawing.SIZE,
        frameon=False,
        labelcolor=COLOURS["ink"],
    )
    several = "" if len(shown) == len(rows) else f", {len(shown)} of {len(rows)} rows"
    drawing.title(axes, f"Performance profiles{several}", left - 0.1)
    drawing.axis_label(axes, f"normalised score of at least ({SOURCE})")
    lines = ", ".join(row.name for row in shown)
    words = f"Share of runs whose normalised score is at least a threshold, a line per row: {lines}"
    return drawing.save(figure, "performance-profiles", words, labels)


def _rows(board: Board) -> list[Row]:
    """Return the rows with an interquartile mean, the best first."""
    if board.overall is None:
        return []
    iqm = board.overall.iqm
    return sorted((row for row in board.rows if row.name in iqm), key=lambda row: -iqm[row.name][0])
