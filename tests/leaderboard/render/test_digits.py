"""The same measurement reads the same wherever it is printed."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from mmbench.cli.commands import root
from mmbench.formatting import measured
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.render.latex import render_latex
from mmbench.leaderboard.render.markdown import render_scores
from mmbench.leaderboard.render.terminal import print_board
from mmbench.records.store import Metric, Result, ResultStore
from mmbench.transfer.measuring import Outcome
from mmbench.transfer.resolution import resolve_task
from mmbench.transfer.tables import metric_table


@pytest.mark.parametrize(("right", "images"), [(331, 400), (1, 8), (2, 3), (10_000, 10_000)])
def test_transfer_and_every_board_print_the_same(
    record: Callable[..., Result], tmp_path: Path, right: int, images: int
) -> None:
    value = 100 * right / images
    result = record("moco", metrics={"top1": Metric(value=value, higher_is_better=True, n=images)})
    path = ResultStore(tmp_path).write(result)
    board = read_board(tmp_path, None)
    printed = io.StringIO()
    print_board(board, Console(file=printed, width=120))
    transferred = io.StringIO()
    outcome = Outcome(resolve_task("knn"), result, path, reused=False)
    Console(file=transferred, width=120).print(metric_table([outcome]))
    shown = CliRunner().invoke(root, ["leaderboard", "show", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    texts = {
        "transfer": transferred.getvalue(),
        "terminal": printed.getvalue(),
        "markdown": render_scores(board),
        "latex": render_latex(board),
        "leaderboard show": shown.output,
    }
    for name, text in texts.items():
        assert re.search(rf"(?<![\d.]){re.escape(measured(value))}(?![\d])", text), (name, text)
