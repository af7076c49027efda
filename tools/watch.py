"""`mmbench watch`: measure a pretraining while it runs, whenever a training state appears."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource
from rich.console import Console

from mmbench.cli import options, paths
from mmbench.cli.next_step import next_step
from mmbench.cli.paths import Place
from mmbench.errors import UserError, one_line
from mmbench.file_names import counted
from mmbench.formatting import measured
from mmbench.leftovers import scratch_folder
from mmbench.progress import Report, progress_report, timestamp
from mmbench.records.record import config_digest
from mmbench.records.store import Result, ResultStore
from mmbench.settings.values import parse_settings_texts
from mmbench.tasks import TASKS
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from mmbench.tools.following import FoundState
    from mmbench.tools.run_data import Made, RunData
    from mmbench.transfer.resolution import ResolvedTask

FAILED = 1  # exit code: a state could not be measured


class Probes(NamedTuple):
    """What is measured of every state, and where its records go."""

    tasks: tuple[ResolvedTask, ...]
    data: RunData
    seeds: tuple[int, ...]
    out: Path
    bank: Path | None
    device: str


@click.command(epilog="Example: mmbench watch runs/mixmask --task knn")
@click.argument("run", type=Place())
@options.tasks(names=TASKS.names, required=True)
@options.protocols()
@options.data(type=paths.DATA, help="Data set or folder. Default: what the run learns from.")
@options.data_root(help="Folder with one folder per data set. Without --data: the run's own.")
@options.seeds()
@options.out(default=Path("results"), show_default=True, help="Folder of the records.")
@options.bank(default=None, show_default=False, help="Folder that stores frozen features. Default: none.")
@options.device()
@options.threads()
@options.overrides(help="Change a setting; repeatable. With several tasks also TASK.NAME=VALUE.")
@click.option(
    "--every",
    type=options.EPOCHS,
    default=1,
    show_default=True,
    help="Measure every so many epochs, and the last state.",
)
@click.option("--arm", metavar="NAME", help="Name of the rows before the epoch. Default: the method.")
@click.option(
    "--pause",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks at the run folder.",
)
@click.pass_context
def watch(
    ctx: click.Context,
    /,
    run: Path,
    tasks: tuple[str, ...],
    protocols: tuple[str, ...],
    overrides: tuple[str, ...],
    threads: int | None,
    every: int,
    arm: str | None,
    pause: float,
    **given: Any,
) -> int:
    """Measure the training states of the run in the folder RUN, as they appear.

    Each state becomes records of the arm "METHOD @ epoch N". The command ends when the run is finished or
    stops, and all its states are measured; states that are gone are named. Started again, it goes on.
    """
    from mmbench.runs import RunFolder
    from mmbench.tools.following import Follower, is_running, schedule_of, settings_of_run
    from mmbench.tools.run_data import data_for_run, made_by
    from mmbench.transfer.arms import check_arm
    from mmbench.transfer.beside_records import require_stated_effects
    from mmbench.transfer.resolution import resolve_tasks

    folder = RunFolder(run)
    settings = settings_of_run(folder)
    schedule = schedule_of(settings, run)
    root_typed = ctx.get_parameter_source("data_root") is ParameterSource.COMMANDLINE
    data = data_for_run(settings, given.pop("data"), given.pop("data_root"), root_typed)
    resolved = resolve_tasks(tasks, protocols, parse_settings_texts(overrides), data.name)
    require_stated_effects(resolved, given["out"])
    probes = Probes(resolved, data, seeds=given.pop("seeds"), **given)
    name = arm or str(settings.get("method") or folder.root.name)
    check_arm(name, "")
    require_writable(probes.out, "--out")
    if not is_running(folder) and not folder.state_paths():
        raise UserError(
            f"no process trains in {run}, and it has no training state; start `mmbench pretrain --out {run}`"
        )
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    console = Console(stderr=not sys.stdout.isatty() and sys.stderr.isatty())
    made = made_by(settings, None)
    results: list[Result] = []
    failed: list[str] = []
    with scratch_folder(probes.out / f"watch-{folder.root.resolve().name}") as scratch:
        follower = Follower(folder, scratch / "run", pause)
        with follower.states() as states:
            for number, state in enumerate(states):
                if not number:
                    made = made_by(settings, state.path)
                    data.require_those_of(made, run)
                if schedule.wants(state.step, every):
                    row = f"{name} @ {schedule.place(state.step)}"
                    try:
                        with progress_report(console, row) as report:
                            found = _measure(state, row, str(settings.get("arch")), probes, report)
                    except UserError as error:
                        failed.append(one_line(f"{row}: {error}"))
                        click.echo(f"{timestamp()} {failed[-1]}", err=True)
                    else:
                        results += found
                        click.echo(f"{timestamp()} {_line(row, found)}")
                state.path.unlink(missing_ok=True)
    missing = [epoch for epoch in schedule.missing(follower.seen) if epoch % every == 0]
    _say_missing(missing, name, probes.out, made, results)
    ended = "finished" if folder.finished else "not running, and not finished"
    click.echo(f"{run} is {ended}: {counted(len(results), 'record')} of its states in {probes.out}")
    if failed:
        click.echo(f"{counted(len(failed), 'state')} could not be measured, the first: {failed[0]}", err=True)
        return FAILED
    next_step("leaderboard", "show", probes.out)
    return 0


def _measure(state: FoundState, row: str, arch: str, probes: Probes, report: Report) -> list[Result]:
    """Return the records of a state, one per task and seed; those that are there already are not measured."""
    from mmbench.transfer.inputs.feature_bank import FeatureBank
    from mmbench.transfer.measuring import measure
    from mmbench.transfer.request import TransferRequest

    request = TransferRequest(
        probes.tasks,
        str(state.path),
        probes.data.name,
        probes.seeds,
        probes.data.root,
        arch,
        out=probes.out,
        device=probes.device,
        bank=FeatureBank(probes.bank),
        arm=row,
    )
    return [outcome.result for outcome in measure(request, report=report)]


def _line(row: str, results: Sequence[Result]) -> str:
    """Return what was measured of a state, such as "moco @ epoch 2: knn 81.30"."""
    parts = []
    for result in results:
        metric = result.metrics[result.primary_metric]
        parts.append(f"{result.task} {measured(metric.value, metric.unit)}")
    return f"{row}: {', '.join(parts)}"


def _say_missing(epochs: list[int], name: str, out: Path, made: Made, results: Sequence[Result]) -> None:
    """Say which epochs of a run have no record here, since their states were gone.

    An epoch that was measured before counts where it has a record of all that `results`, those of the other
    epochs, are of: the same protocols, settings, data and seeds.
    """
    if epochs and results and out.is_dir():
        found: dict[str, set[tuple[str, str, str, int]]] = {}
        for _, result in ResultStore(out).read_all()[0]:
            if made.fits(result.model):
                found.setdefault(result.model.arm, set()).add(_measured(result))
        wanted = {_measured(result) for result in results}
        epochs = [epoch for epoch in epochs if not wanted <= found.get(f"{name} @ epoch {epoch}", set())]
    if epochs:
        numbers = ", ".join(map(str, epochs[:20])) + (", ..." if len(epochs) > 20 else "")
        click.echo(
            f"not measured, since their states were gone: epoch {numbers}; runs keep the newest few; "
            "`mmbench pretrain --set keep_states=N` keeps more",
            err=True,
        )


def _measured(result: Result) -> tuple[str, str, str, int]:
    """Return what was measured of a state: protocol, settings, data and seed."""
    return result.protocol, config_digest(result.config), result.dataset.fingerprint, result.seed
