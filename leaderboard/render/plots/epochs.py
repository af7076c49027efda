"""Score over the epochs of pretraining, of arms that were measured at several: "moco @ epoch 10"."""

from __future__ import annotations

import re
from collections import defaultdict

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmbench.leaderboard.board import Board, Cell, Column, Row
from mmbench.leaderboard.render.plots import drawing
from mmbench.leaderboard.render.plots.drawing import COLOURS, Plot
from mmbench.leaderboard.render.plots.labels import Labels
from mmbench.leaderboard.render.wording import metric_words, score

AT_EPOCH = re.compile(
    r"(?P<arm>.+) @ epoch (?P<epoch>[0-9]{1,9})(?P<rest>( .*)?)"
)  # as `mmbench watch` names
WIDTH, HEIGHT = 4.4, 2.6  # inches of the axes
LINE = 0.22  # inches, of a name in the legend
SERIES = [name for name in COLOURS if name.startswith("series-")]


def epoch_plots(board: Board) -> list[Plot]:
    """Draw each column over the epochs: a dot per run and a line through the means of an arm.

    A column in which no arm has two epochs has no plot. Arms beyond the number of colours are left out, the
    ones with the fewest epochs first, and counted.
    """
    return [plot for column in board.columns if (plot := _plot(board, column)) is not None]


def curves_of(rows: list[tuple[Row, Cell]]) -> dict[str, dict[int, Cell]]:
    """Return the cells of each arm by epoch, those with the most epochs first; of at least two epochs."""
    found: dict[str, dict[int, Cell]] = defaultdict(dict)
    for row, cell in rows:
        if match := AT_EPOCH.fullmatch(row.name):
            found[match["arm"] + match["rest"]][int(match["epoch"])] = cell
    several = [(name, dict(sorted(cells.items()))) for name, cells in found.items() if len(cells) > 1]
    return dict(sorted(several, key=lambda curve: (-len(curve[1]), curve[0])))


def _plot(board: Board, column: Column) -> Plot | None:
    entries = [(row, cell) for row in board.rows if (cell := board.cell(row, column)) is not None]
    curves = curves_of(entries)
    if not curves:
        return None
    labels = Labels()
    drawn = dict(list(curves.items())[: len(SERIES)])
    legend = LINE * len(drawn)
    figure = Figure(figsize=(WIDTH + 0.8, drawing.TOP + HEIGHT + drawing.BOTTOM + legend))
    axes = drawing.panel(figure, 0.65, drawing.TOP, WIDTH, HEIGHT)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.8)
    for colour, (name, cells) in zip(SERIES, drawn.items(), strict=False):
        means = [cell.summary.mean for cell in cells.values()]
        axes.plot(list(cells), means, color=COLOURS[colour], linewidth=1.5, label=labels.of(name))
        runs = [(epoch, run.value) for epoch, cell in cells.items() for run in cell.runs]
        axes.plot(*zip(*runs, strict=True), "o", color=COLOURS[colour], markersize=4, alpha=0.5)
    axes.margins(x=0.04, y=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.set_ylabel(labels.of(metric_words(column), 60), fontsize=drawing.SMALL, color=COLOURS["muted"])
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0, -0.16),
        frameon=False,
        fontsize=drawing.SMALL,
        borderaxespad=0,
        labelcolor=COLOURS["ink"],
    )
    left_out = f"; {len(curves) - len(drawn)} more arms left out" if len(drawn) < len(curves) else ""
    drawing.title(axes, labels.of(f"{column.label} over epochs", 60), 0.55)
    drawing.axis_label(axes, f"epochs of pretraining{left_out}")
    words = "; ".join(_words(name, cells, column) for name, cells in drawn.items()) + left_out
    return drawing.save(figure, f"epochs-{column.name}", f"{column.label} over epochs: {words}", labels)


def _words(name: str, cells: dict[int, Cell], column: Column) -> str:
    first, last = (
        f"{score(cells[epoch].summary.mean, column)} at epoch {epoch}" for epoch in (min(cells), max(cells))
    )
    return f"{name} from {first} to {last}"
