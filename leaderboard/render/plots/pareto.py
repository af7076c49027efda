"""Score against the computing time of one pretraining, and the rows that no cheaper one reaches."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmbench.leaderboard.board import Board, Row
from mmbench.leaderboard.render.plots import drawing
from mmbench.leaderboard.render.plots.drawing import COLOURS, Plot
from mmbench.leaderboard.render.plots.labels import Labels

WIDTH, HEIGHT = 4.4, 2.6  # inches of the axes
MOST_NAMES = 12
NAME_HEIGHT, RAISE = 0.15, 0.07  # inches: of a name, and above the middle of its point
KINDS = {"gpu": "GPU", "cpu": "CPU"}
UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def pareto_plots(board: Board) -> list[Plot]:
    """Draw score against computing time, a plot per kind of time: CPU and GPU seconds do not compare.

    The score is the interquartile mean of the normalised scores where the board has one, else the mean rank.
    Only ranked rows with a known computing time are drawn; the others are counted. A kind of fewer than two
    rows has no plot.
    """
    pretrained = [row for row in board.rows if row.ranked and not row.control]
    plots = []
    for kind, word in KINDS.items():
        rows = [row for row in pretrained if row.compute_kind == kind and (row.pretrain_compute or 0) > 0]
        if len(rows) > 1:
            plots.append(_plot(board, rows, word, len(pretrained) - len(rows)))
    return plots


def _plot(board: Board, rows: list[Row], kind: str, missing: int) -> Plot:
    labels = Labels()
    seconds = {row.name: row.pretrain_compute or 0.0 for row in rows}
    unit, factor = next(unit for unit in UNITS if max(seconds.values()) >= unit[1] or unit[1] == 1)
    iqm = board.overall.iqm if board.overall is not None else {}
    by_score = all(row.name in iqm for row in rows)
    heights = {row.name: iqm[row.name][0] if by_score else -(row.mean_rank or 0.0) for row in rows}
    points = {row.name: (seconds[row.name] / factor, heights[row.name]) for row in rows}
    front = front_of(points)

    figure = Figure(figsize=(WIDTH + 0.8, drawing.TOP + HEIGHT + drawing.BOTTOM))
    axes = drawing.panel(figure, 0.65, drawing.TOP, WIDTH, HEIGHT)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.8)
    axes.set_xscale("log")
    axes.minorticks_off()
    for role in ("arm", "baseline"):
        own = [points[row.name] for row in rows if drawing.role(row) == role]
        axes.plot(*zip(*own, strict=True), "o", color=COLOURS[role], markersize=5, alpha=0.7) if own else None
    corners = [points[name] for name in front]
    axes.plot(
        *zip(*corners, strict=True), color=COLOURS["muted"], linewidth=1, drawstyle="steps-post", zorder=1
    )
    axes.margins(x=0.08, y=0.12)
    named = rows if len(rows) <= MOST_NAMES else [row for row in rows if row.baseline or row.name in front]
    _name_points(axes, {labels.of(row.name, 24): points[row.name] for row in named[:MOST_NAMES]})
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    score = "normalised score (interquartile mean)" if by_score else "mean rank"
    if not by_score:
        axes.yaxis.set_major_formatter(lambda value, _: f"{-value:g}")
    axes.set_ylabel(score, fontsize=drawing.SMALL, color=COLOURS["muted"])
    left_out = f"; {missing} without known {kind} time left out" if missing else ""
    drawing.title(axes, "Score and cost", 0.55)
    drawing.axis_label(axes, f"one pretraining, {kind} {unit}{left_out}")
    words = (
        f"{score} against {kind} {unit} of one pretraining, {len(rows)} rows{left_out}. "
        f"No cheaper row reaches: {', '.join(front[:10])}"
    )
    return drawing.save(figure, f"cost-{kind.lower()}", words, labels)


def front_of(points: dict[str, tuple[float, float]]) -> list[str]:
    """Return the names that no cheaper or equally dear one reaches, the cheapest first.

    Args:
        points: cost and score by name; a higher score is better.
    """
    front: list[str] = []
    best = float("-inf")
    for name, (_, score) in sorted(points.items(), key=lambda item: (item[1][0], -item[1][1], item[0])):
        if score > best:
            front.append(name)
            best = score
    return front


def _name_points(axes: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Write names beside their points, each below the one above it where they would overlap."""
    axes.get_xlim(), axes.get_ylim()  # matplotlib computes the limits when they are asked for
    inches = {
        name: (x * WIDTH, y * HEIGHT)
        for name, (x, y) in zip(
            points,
            axes.transAxes.inverted().transform(axes.transData.transform(list(points.values()))),
            strict=True,
        )
    }
    taken: list[tuple[float, float, float]] = []  # left, right, height
    for name, (x, y) in sorted(inches.items(), key=lambda item: -item[1][1]):
        width = drawing.text_width([name], drawing.SMALL)
        left = x + 0.07 if x + 0.07 + width < WIDTH + 0.1 else x - 0.07 - width
        while any(
            left < right and start < left + width and abs(y - height) < NAME_HEIGHT
            for start, right, height in taken
        ):
            y -= 0.02
        taken.append((left, left + width, y))
        axes.text(
            left / WIDTH,
            (y + RAISE) / HEIGHT,
            name,
            transform=axes.transAxes,
            fontsize=drawing.SMALL,
            color=COLOURS["ink"],
            va="center",
        )
