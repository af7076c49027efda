"""`mmbench demo`: runs the whole pipeline on embedded data, up to a leaderboard."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console

from mmbench.cli import options
from mmbench.cli.next_step import next_step
from mmbench.cli.options import Option, WholeNumber
from mmbench.errors import UserError, unknown_name
from mmbench.files import require_free_space
from mmbench.processes import cores
from mmbench.settings_types import MOST_WORKERS
from mmbench.tools.demo.plan import ARMS, PROBES, plan
from mmbench.tools.demo.schedule import run_cells
from mmbench.tools.demo.worker import DemoFolders
from mmbench.writable import require_writable

BASELINE = "mscn"
EPOCHS, SEEDS = 8, (0, 1)
NEEDED_BYTES = 500 * 2**20


def run_demo(
    out: Path,
    *,
    arms: tuple[str, ...] = ARMS,
    tasks: tuple[str, ...] | None = None,
    seeds: tuple[int, ...] = SEEDS,
    epochs: int = EPOCHS,
    workers: int | None = None,
    console: Console | None = None,
) -> Path:
    """Render the data, pretrain the arms, transfer them and build the board; finished parts are reused.

    Args:
        out: the demo's folder.
        arms: methods to pretrain; random weights and raw pixels are always measured too.
        tasks: tasks to measure; None means all that are not optional.
        seeds: pretraining seeds.
        epochs: pretraining epochs, the same for every arm.
        workers: processes, with one thread each; None means one per core.
        console: where progress and the board are printed; None means stdout.

    Returns:
        The path of the board's page.

    Raises:
        UserError: unknown names, too little disk space, or a part that failed.
    """
    console = console or Console()
    known_tasks = [probe.task for probe in PROBES]
    for kind, names, known in (("method", arms, ARMS), ("task", tasks or (), known_tasks)):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    if epochs < 1 or not seeds:
        raise UserError(f"the demo needs at least one epoch and one seed, not {epochs} and {list(seeds)}")
    require_writable(out, "--out")
    require_free_space(out, NEEDED_BYTES, "the demo")
    folders = DemoFolders(out)
    workers = workers or cores()
    cells = plan(arms, tasks, seeds, epochs)
    console.print(
        f"demo: {len(cells)} parts on {workers} worker{'s' if workers > 1 else ''} in {out}/ "
        "(the same command continues it after an interruption)",
        highlight=False,
    )
    started = time.monotonic()
    run_cells(cells, folders, epochs, workers, console)

    from mmbench.leaderboard.build import build
    from mmbench.leaderboard.render.terminal import print_board

    board = build(folders.results, folders.board, baseline=BASELINE if BASELINE in arms else None)
    print_board(board, console)
    page = folders.board / "index.html"
    console.print(
        f"measured in {(time.monotonic() - started) / 60:.1f} min; the board: {page}", highlight=False
    )
    next_step("results", "list", folders.results)
    return page


@click.command(epilog="Example: mmbench demo --out demo")
@options.out(default=Path("demo"), show_default=True, help="Folder of the demo.")
@options.methods(default=ARMS, show_default=",".join(ARMS))
@options.tasks(help="Tasks. Default: all but the slow ones (finetune, logreg, lowshot, segmentation).")
@options.seeds(default=SEEDS, show_default=",".join(map(str, SEEDS)), help="Pretraining seeds.")
@options.epochs(default=EPOCHS, show_default=True, help="Pretraining epochs.")
@click.option(
    "--processes",
    "workers",
    cls=Option,
    aliases=("--workers",),
    type=WholeNumber(1, MOST_WORKERS),
    help="Processes, with one thread each. Default: one per core.",
)
def demo(
    out: Path,
    methods: tuple[str, ...],
    tasks: tuple[str, ...],
    seeds: tuple[int, ...],
    epochs: int,
    workers: int | None,
) -> None:
    """Run the whole pipeline on embedded data and build a leaderboard.

    Renders the Patterns data, pretrains MixMask, MoCo, the erase control and the MSCN-style baseline,
    transfers each to linear, kNN, 1% and 10% labels, detection (Detectron2) and a dense probe,
    and builds the board.
    """
    run_demo(out, arms=methods, tasks=tasks or None, seeds=seeds, epochs=epochs, workers=workers)
