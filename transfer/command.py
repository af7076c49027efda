"""`mmbench transfer`: a thin shell over `mmbench.transfer.run.transfer`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.stating import of_a_file
from mmbench.cli.option_types import IMAGE_SIZE, SEED, THREADS, WORKERS
from mmbench.distributed import launched_rank
from mmbench.errors import UserError, typed
from mmbench.formatting import measured
from mmbench.progress import progress_report
from mmbench.results import Metric, Result
from mmbench.setting_values import parse_settings_texts
from mmbench.settings_types import Seed, checked_number
from mmbench.tasks import TASKS
from mmbench.transfer.compute import PRECISIONS, Precision
from mmbench.transfer.inputs.feature_bank import FeatureBank, Stored
from mmbench.transfer.protocol import protocols
from mmbench.transfer.run import Outcome
from mmbench.transfer.run import transfer as run_transfer
from mmbench.writable import require_writable

OF_A_PART = ("top1_", "mean_per_class_", "mAP_")  # such as one k of kNN


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of a list such as "0,1,2".

    Raises:
        UserError: the list is empty, has a repeated seed, or one that is no whole number from 0 on.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(f"--seeds {typed(text)}: write different whole numbers with commas, such as 0,1,2")
    seeds = tuple(int(checked_number(Seed, part.lstrip("0") or "0", "--seeds")) for part in parts)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {typed(text)}: write different whole numbers with commas, such as 0,1,2")
    return seeds


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Return the settings of "name=value" texts; values are YAML.

    Raises:
        UserError: a text without "=", or a value that is not plain YAML.
    """
    return parse_settings_texts(texts)


def protocol_table(task: str | None) -> Table:
    """Return every protocol, or those of one task, as a table; * marks what a task runs by default."""
    names = TASKS.names() if task is None else [TASKS.get(task).name]
    defaults = {TASKS.get(name).default_protocol for name in names}
    table = Table("task", "protocol", "metric", "title", box=None, pad_edge=False)
    for protocol in protocols().values():
        if protocol.task in names:
            star = "*" if protocol.id in defaults else ""
            title = f"as the version before, but {protocol.change}" if protocol.change else protocol.title
            table.add_row(protocol.task, protocol.id + star, protocol.metric, title)
    return table


def detail_table(outcomes: Sequence[Outcome]) -> Table | None:
    """Return one row per metric of a part of the task, such as one k of kNN, and one column per seed."""
    first = outcomes[0].result
    names = [name for name in first.metrics if name not in _overall(first)]
    if not names:
        return None
    table = Table(
        "metric", *(f"seed {outcome.result.seed}" for outcome in outcomes), box=None, pad_edge=False
    )
    for name in names:
        table.add_row(name, *(written(outcome.result.metrics[name]) for outcome in outcomes))
    return table


def written(metric: Metric) -> str:
    """Return a metric's value in the digits of its unit."""
    return measured(metric.value, metric.unit)


def _overall(result: Result) -> list[str]:
    """Return the metrics of the whole task, the primary one first."""
    names = [name for name in result.metrics if not name.startswith(OF_A_PART)]
    return sorted(names, key=lambda name: (name != result.primary_metric, name))


def metric_table(outcomes: Sequence[Outcome]) -> Table:
    """Return one row per seed and one column per metric, the primary one first."""
    first = outcomes[0].result
    names = _overall(first)
    table = Table("seed", *names, "n", "seconds", box=None, pad_edge=False)
    for outcome in outcomes:
        result = outcome.result
        values = [written(result.metrics[name]) for name in names]
        count = str(result.metrics[result.primary_metric].n)
        table.add_row(str(result.seed), *values, count, f"{result.wall_seconds:.1f}")
    return table


@click.command(
    epilog="Example: mmbench transfer --task linear --checkpoint runs/mixmask --data patterns --seeds 0,1,2"
)
@click.option("--task", help="linear, knn, logreg, lowshot, semisup, finetune, detection or segmentation.")
@click.option(
    "--checkpoint", help="Run folder, checkpoint file, or a control: random, random-high-pass or pixels."
)
@click.option("--data", help="Data set, or path of an image folder.")
@click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data"),
    show_default=True,
    envvar="MMBENCH_DATA",
    show_envvar=True,
)
@click.option("--arch", help="timm name; needed for random weights and for files that do not tell it.")
@click.option(
    "--image-size",
    type=IMAGE_SIZE,
    help="Pixels a side that the backbone is fed. Default: its card's; of controls, the data set's.",
)
@of_a_file
@click.option("--protocol", help="Id such as linear/moco@1. Default: the task's own, see --list.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the transfer.")
@click.option("--seeds", help="Several seeds, such as 0,1,2; instead of --seed.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("results"), show_default=True
)
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), help="Keep the task's logs here.")
@click.option(
    "--bank",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("features"),
    show_default=True,
    help="Folder that keeps frozen features, so that every further probe of the same weights saves the pass.",
)
@click.option("--no-bank", is_flag=True, help="Keep no features.")
@click.option(
    "--bank-dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="float16 halves the bank.",
)
@click.option(
    "--labels-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Official list of the labelled images, for semisup; instead of a draw by the seed.",
)
@click.option("--plot", is_flag=True, help="Draw features (t-SNE) and nearest neighbours beside the record.")
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default="float32",
    show_default=True,
    help="Of the backbone, by autocast.",
)
@click.option("--workers", type=WORKERS, help="Processes that read pictures. Default: one per core.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=THREADS, help="CPU threads. Default: torch's choice.")
@click.option("--set", "overrides", multiple=True, metavar="NAME=VALUE", help="Change a setting; repeatable.")
@click.option("--list", "listing", is_flag=True, help="List the protocols (of --task) and leave.")
def transfer(
    task: str | None,
    checkpoint: str | None,
    data: str | None,
    data_root: Path,
    arch: str | None,
    image_size: int | None,
    stated: Stated,
    protocol: str | None,
    seed: int,
    seeds: str | None,
    out: Path,
    work: Path | None,
    bank: Path,
    no_bank: bool,
    bank_dtype: Stored,
    labels_file: Path | None,
    plot: bool,
    precision: Precision,
    workers: int | None,
    device: str,
    threads: int | None,
    overrides: tuple[str, ...],
    listing: bool,
) -> None:
    """Measure how a checkpoint transfers to a task.

    Writes one result record per seed below --out; a record that is there already is reused.
    """
    quiet = launched_rank() > 0  # of several processes the first one speaks
    console = Console(stderr=not sys.stdout.isatty() and sys.stderr.isatty(), quiet=quiet)
    output = Console(soft_wrap=True, highlight=False, quiet=quiet)
    if listing:
        output.print(protocol_table(task))
        output.print("* what the task runs where --protocol is not given", markup=False)
        return
    for name, given in (("--task", task), ("--checkpoint", checkpoint), ("--data", data)):
        if given is None:
            raise click.UsageError(f"Missing option '{name}'.")
    assert task is not None and checkpoint is not None and data is not None
    overridden, chosen = parse_overrides(overrides), (seed,) if seeds is None else parse_seeds(seeds)
    require_writable(out, "--out")
    if work is not None:
        require_writable(work, "--work")
    if not no_bank and TASKS.get(task).frozen:  # of the tasks on frozen features
        require_writable(bank, "--bank")
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    said: set[str] = set()  # before the run, so that the record's notes need not repeat it

    def say(line: str) -> None:
        said.add(line)
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    with progress_report(console, task) as report:
        outcomes = run_transfer(
            task,
            checkpoint,
            data,
            data_root=data_root,
            arch=arch,
            image_size=image_size,
            stated=stated,
            protocol=protocol,
            seeds=chosen,
            out=out,
            device=device,
            work=work,
            bank=FeatureBank(None if no_bank else bank, bank_dtype),
            labels_file=labels_file,
            plot=plot,
            precision=precision,
            workers=workers,
            overrides=overridden,
            report=report,
            say=say,
        )
    result = outcomes[0].result
    output.print(f"{result.model.arm} on {result.dataset.name}, {result.protocol}", markup=False)
    output.print(metric_table(outcomes))
    details = detail_table(outcomes)
    if details is not None:
        output.print(details)
    if result.framing is not None:
        output.print(f"evaluated images: {result.framing}", markup=False)
    notes = dict.fromkeys(note for outcome in outcomes for note in outcome.result.notes)
    for note in (note for note in notes if note not in said):
        output.print(f"note: {note}", markup=False)
    for outcome in outcomes:
        what = "reused, measured before" if outcome.reused else "written"
        output.print(f"{outcome.path} ({what})", markup=False)
