"""Board to plots, each as PNG and SVG: columns, differences, ranks, profiles, cost, epochs."""

from __future__ import annotations

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.render.plots.columns import column_plot
from mmbench.leaderboard.render.plots.critical_differences import critical_difference_plot
from mmbench.leaderboard.render.plots.differences import difference_plots
from mmbench.leaderboard.render.plots.drawing import Plot, style
from mmbench.leaderboard.render.plots.epochs import epoch_plots
from mmbench.leaderboard.render.plots.pareto import pareto_plots
from mmbench.leaderboard.render.plots.profiles import iqm_plot, profile_plot

__all__ = ["Plot", "draw_plots"]


def draw_plots(board: Board) -> tuple[Plot, ...]:
    """Draw every column of the board, then what it says beyond single columns.

    The differences are there if the board has a baseline; ranks, profiles and costs where the board has an
    overall comparison of more than one row. No figure grows with the number of rows beyond
    `drawing.MOST_ROWS`.
    """
    with style():
        plots = [column_plot(board, column) for column in board.columns]
        plots += difference_plots(board)
        overall = (critical_difference_plot(board), iqm_plot(board), profile_plot(board))
        plots += [plot for plot in overall if plot is not None]
        plots += pareto_plots(board)
        plots += epoch_plots(board)
    return tuple(plots)
