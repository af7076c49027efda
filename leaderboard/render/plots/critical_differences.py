"""Critical-difference diagram (Demsar 2006): mean ranks, and bars over rows that are not told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmbench.file_names import counted
from mmbench.formatting import rounded
from mmbench.leaderboard.board import Board, Row
from mmbench.leaderboard.render.plots import drawing
from mmbench.leaderboard.render.plots.drawing import COLOURS, Plot
from mmbench.leaderboard.render.plots.labels import Labels
from mmbench.leaderboard.statistics.summaries import SIGNIFICANCE

LINE = 0.21  # inches per name or bar
AXIS = 2.6  # inches
MARGIN = 0.06  # of the range of ranks, between the outermost marks and the names


def critical_difference_plot(board: Board) -> Plot | None:
    """Draw the mean ranks of the ranked rows, and which of them are not distinguished.

    scikit-posthocs draws it. Of many rows the best ones and the baseline are drawn. None where the board has
    no critical differences.
    """
    ranked = [row for row in board.rows if row.mean_rank is not None]
    if board.overall is None or board.overall.critical_difference is None or len(ranked) < 2:
        return None
    labels = Labels()
    shown = drawing.best_rows(ranked)
    names = [labels.of(row.name, 28) for row in shown]
    ranks = pd.Series({name: row.mean_rank for name, row in zip(names, shown, strict=True)}, dtype=float)
    left = drawing.text_width([f"{name} (10.0)" for name in names]) + 0.1
    figure = Figure(figsize=(left + AXIS + left, 1.0))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.patch.set_alpha(0)
    _draw(axes, ranks, _matrix(board.overall.critical_difference, shown, names), shown)
    low, high = ranks.min(), ranks.max()
    margin = MARGIN * (high - low)
    axes.set_xlim(low - margin, high + margin)
    lowest = min(float(np.min(line.get_ydata(orig=False))) for line in axes.lines)
    lines = 0.5 - lowest
    axes.set_ylim(lowest - 0.5, 0)
    height = 0.62 + LINE * lines
    figure.set_size_inches(figure.get_figwidth(), height)
    axes.set_position(
        (left / figure.get_figwidth(), 0.02, AXIS / figure.get_figwidth(), LINE * lines / height)
    )
    axes.tick_params(axis="x", labelsize=drawing.SMALL, labelcolor=COLOURS["muted"], color=COLOURS["muted"])
    axes.spines["top"].set_color(COLOURS["muted"])
    over = counted(len(board.ranking.columns), "column")
    several = "" if len(shown) == len(ranked) else f", the best {len(shown)} of {len(ranked)} rows"
    figure.text(
        0.1 / figure.get_figwidth(),
        1 - 0.2 / height,
        f"Mean rank over {over}{several}; a bar joins rows that are not distinguished",
        fontsize=drawing.SMALL,
        color=COLOURS["muted"],
    )
    words = f"Critical differences of the mean ranks over {over}{several}: " + ", ".join(
        f"{row.name} {rounded(row.mean_rank or 0, 1)}" for row in shown[:10]
    )
    return drawing.save(figure, "critical-differences", words, labels)


def _draw(axes: Axes, ranks: pd.Series[float], p: pd.DataFrame, rows: list[Row]) -> None:
    from scikit_posthocs import critical_difference_diagram

    colours = {
        name: COLOURS["baseline" if row.baseline else "ink"]
        for name, row in zip(ranks.index, rows, strict=True)
    }
    drawn = critical_difference_diagram(
        ranks,
        p,
        alpha=SIGNIFICANCE,
        ax=axes,
        label_fmt_left="{label}",
        label_fmt_right="{label}",
        label_props={"fontsize": drawing.SIZE},
        marker_props={"s": 14},
        elbow_props={"linewidth": 0.8},
        crossbar_props={"color": COLOURS["arm"], "linewidth": 3, "solid_capstyle": "round"},
        color_palette=colours,
    )
    for label in drawn["labels"]:
        name = label.get_text()
        rank = f"({rounded(ranks[name], 1)})"
        label.set_text(f"{name} {rank}" if label.get_horizontalalignment() == "right" else f"{rank} {name}")
    for bar, *_ in drawn[
        "crossbars"
    ]:  # its points come in the order of a set, which differs between processes
        bar.set_xdata(np.sort(bar.get_xdata()))


def _matrix(pairs: dict[tuple[str, str], float], rows: list[Row], names: list[str]) -> pd.DataFrame:
    """Return the symmetric matrix of p values of these rows."""
    drawn = dict(zip((row.name for row in rows), names, strict=True))
    matrix = pd.DataFrame(1.0, index=names, columns=names)
    for (one, other), p in pairs.items():
        if one in drawn and other in drawn:
            matrix.loc[drawn[one], drawn[other]] = matrix.loc[drawn[other], drawn[one]] = p
    return matrix
