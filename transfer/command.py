"""`mmbench transfer`: from options to a `TransferRequest`, and from its records to the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console

from mmbench.checkpoints.stating import of_a_file
from mmbench.cli import options, paths
from mmbench.cli.config_file import write_config
from mmbench.cli.next_step import next_step
from mmbench.launched import launched_rank
from mmbench.progress import progress_report
from mmbench.settings.values import parse_settings_texts
from mmbench.tasks import TASKS, Option
from mmbench.transfer.arms import CONTROLS
from mmbench.transfer.protocol import broken_protocols
from mmbench.transfer.resolution import ResolvedTask, resolve_tasks
from mmbench.transfer.tables import class_line, detail_table, interval_lines, metric_table, protocol_table
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from mmbench.transfer.measuring import Outcome
    from mmbench.transfer.request import TransferRequest

# Options that not every task uses -> how they are spelled, and what they are where they are not given.
PARTIAL: dict[Option, tuple[str, Any]] = {
    "bank": ("--bank", None),
    "labels_file": ("--labels-file", None),
    "plot": ("--plot", False),
    "precision": ("--precision", "float32"),
    "work": ("--work", None),
    "workers": ("--workers", None),
}


@click.command(
    epilog="Example: mmbench transfer --task knn,linear --checkpoint runs/mixmask --data patterns --seeds 0,1"
)
@options.config()
@options.tasks(names=TASKS.names)
@options.checkpoint(
    type=paths.checkpoint(CONTROLS),
    help="Run folder, checkpoint file, name of weights such as timm:resnet50.a1_in1k, or a control: random, "
    "random-high-pass or pixels.",
)
@options.data(type=paths.DATA)
@options.layout()
@options.data_root()
@options.arch(help="timm name; needed for random weights and for files that do not state it.")
@options.image_size(
    help="Pixels a side that the backbone is fed. Default: its card's; of controls, the data set's."
)
@of_a_file
@options.protocols()
@options.seeds(
    default=(),
    help="Seeds, separated by commas. Default: 0; of a protocol of several trials, a seed for each, from 0.",
)
@options.out(default=Path("results"), show_default=True, help="Folder of the records.")
@click.option(
    "--work",
    type=options.FOLDER,
    help="Keep the logs of detection and segmentation here, or what --dry-run writes.",
)
@options.bank()
@options.no_bank()
@options.bank_dtype()
@click.option(
    "--labels-file",
    type=options.FILE,
    help="Official list of the labelled images, for semisup; instead of a draw by the seed.",
)
@click.option("--plot", is_flag=True, help="Draw features (t-SNE) and nearest neighbours beside the record.")
@options.precision()
@options.workers()
@options.device()
@options.threads()
@click.option(
    "--arm",
    metavar="NAME",
    help="Row of the leaderboard that the records are filed under. Default: the one on the card, such as the "
    "method.",
)
@options.overrides(help="Change a setting; repeatable. With several tasks also TASK.NAME=VALUE.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check data and weights as the run does, print splits, settings and where the records would be, and "
    "compute and write nothing; --work keeps what detection and segmentation would start from.",
)
@click.option("--list", "listing", is_flag=True, help="List the protocols (of --task) and exit.")
@click.pass_context
def transfer(
    ctx: click.Context,
    /,
    tasks: tuple[str, ...],
    protocols: tuple[str, ...],
    checkpoint: str | None,
    data: str | None,
    overrides: tuple[str, ...],
    threads: int | None,
    dry_run: bool,
    listing: bool,
    no_bank: bool,
    **given: Any,
) -> None:
    """Measure how a checkpoint transfers to one or several tasks.

    Writes one result record per task and seed below --out; a record that is there already is reused. What
    fails ends the command, and the records before it stay.
    """
    quiet = launched_rank() > 0  # of several processes the first one prints
    output = Console(soft_wrap=True, highlight=False, quiet=quiet)
    if listing:
        _list_protocols(output, tasks)
        return
    if not tasks and not protocols:
        raise click.UsageError("Missing option '--task'.")
    for name, value in (("--checkpoint", checkpoint), ("--data", data)):
        if value is None:
            raise click.UsageError(f"Missing option '{name}'.")
    assert checkpoint is not None and data is not None
    resolved = resolve_tasks(tasks, protocols, parse_settings_texts(overrides), data)
    from mmbench.transfer.beside_records import require_stated_effects, version_remarks
    from mmbench.transfer.inputs.feature_bank import FeatureBank
    from mmbench.transfer.measuring import measure
    from mmbench.transfer.request import TransferRequest, check_options

    require_stated_effects(resolved, given["out"])
    lines = check_options(resolved, _stated(ctx))
    _require_writable(given, None if no_bank else given["bank"], resolved)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    console = Console(stderr=not sys.stdout.isatty() and sys.stderr.isatty(), quiet=quiet)
    said: set[str] = set()  # before the run, so that the record's notes need not repeat it

    def say(line: str) -> None:
        said.add(line)
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    given["seeds"] = given["seeds"] or None
    for line in (
        *lines,
        *version_remarks(resolved, given["out"]),
        *(_trials(resolved) if given["seeds"] is None else ()),
    ):
        say(line)
    given["bank"] = FeatureBank(None if no_bank else given["bank"], given.pop("bank_dtype"))
    request = TransferRequest(resolved, checkpoint, data, **given)
    if dry_run:
        _print_plans(output, request, say)
        return
    names = ",".join(dict.fromkeys(task.entry.name for task in resolved))
    outcomes: list[Outcome] = []
    try:
        with progress_report(console, names) as report:
            measure(request, report=report, say=say, finished=outcomes.append)
    finally:  # what was measured before an error is said too
        for task in resolved:
            if of_task := [outcome for outcome in outcomes if outcome.task is task]:
                _print_records(output, of_task, said)
                for outcome in () if quiet else of_task:
                    _write_repeat(ctx, task, outcome)
    if not quiet:
        next_step("leaderboard", "show", request.out)


def _trials(tasks: tuple[ResolvedTask, ...]) -> list[str]:
    """Return a line for each protocol of several trials."""
    several = {task.protocol.id: task.protocol.trials for task in tasks if task.protocol.trials > 1}
    return [f"{name}: {count} trials, seeds 0 to {count - 1}" for name, count in several.items()]


def _list_protocols(output: Console, tasks: tuple[str, ...]) -> None:
    output.print(protocol_table(tasks))
    output.print("* what the task runs where --protocol is not given", markup=False)
    for line in broken_protocols():
        output.print(f"skipped: {line}", markup=False)


def _print_plans(output: Console, request: TransferRequest, say: Callable[[str], None]) -> None:
    """Print what a request would measure; each task's data and settings once."""
    from mmbench.data.preparing import NotPreparedError, writing_nothing
    from mmbench.transfer.dry_run import Plan, plan, plan_lines

    known: dict[int, Plan] = {}
    try:
        with writing_nothing():
            for found in plan(request, say):
                task = id(found.run.task)
                for line in plan_lines(found, known.get(task)):
                    output.print(line, markup=False)
                known[task] = found
    except NotPreparedError as missing:
        output.print(str(missing), markup=False)
        output.print("splits, sizes and where the records would be are known once they are there")
    output.print("nothing was trained or recorded (--dry-run)", markup=False)


def _stated(ctx: click.Context) -> dict[Option, str]:
    """Return the options that the user gave, of those that not every task uses, and their spelling."""
    automatic = (ParameterSource.DEFAULT, None)
    stated: dict[Option, str] = {
        option: spelling
        for option, (spelling, usual) in PARTIAL.items()
        if ctx.get_parameter_source(option) not in automatic and ctx.params[option] != usual
    }
    if ctx.params["bank_dtype"] != "float32":
        stated.setdefault("bank", "--bank-dtype")
    return stated


def _require_writable(given: dict[str, Any], bank: Path | None, tasks: tuple[ResolvedTask, ...]) -> None:
    require_writable(given["out"], "--out")
    if given["work"] is not None:
        require_writable(given["work"], "--work")
    if bank is not None and any(task.entry.frozen for task in tasks):
        require_writable(bank, "--bank")


def _print_records(output: Console, outcomes: list[Outcome], said: set[str]) -> None:
    """Print the records of one task and protocol."""
    result = outcomes[0].result
    output.print(f"{result.model.arm} on {result.dataset.name}, {result.protocol}", markup=False)
    output.print(metric_table(outcomes))
    details = detail_table(outcomes)
    if details is not None:
        output.print(details)
    for line in (*interval_lines(outcomes), class_line(outcomes)):
        if line is not None:
            output.print(line, markup=False)
    if result.framing is not None:
        output.print(f"evaluated images: {result.framing}", markup=False)
    notes = dict.fromkeys(note for outcome in outcomes for note in outcome.result.notes)
    for note in (note for note in notes if note not in said):
        output.print(f"note: {note}", markup=False)
    for outcome in outcomes:
        what = "reused, measured before" if outcome.reused else "written"
        output.print(f"{outcome.path} ({what})", markup=False)


def _write_repeat(ctx: click.Context, task: ResolvedTask, outcome: Outcome) -> None:
    """Write the configuration file that repeats one record's run, beside the record."""
    path = outcome.path.with_suffix(".config.yaml")
    if path.exists():
        return
    unused: dict[str, None] = {option: None for option in PARTIAL if option not in task.entry.uses}
    if "bank" in unused or ctx.params["no_bank"]:
        unused |= {"bank": None, "bank_dtype": None}
    write_config(
        path,
        ctx,
        tasks=(task.entry.name,),
        protocols=(task.named,),
        seeds=(outcome.result.seed,),
        overrides=dict(task.overrides) or None,
        **unused,
    )
