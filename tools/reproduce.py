"""`mmbench reproduce`: run a record again and compare it, metric by metric."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from mmbench.cli import options, paths
from mmbench.cli.next_step import next_step
from mmbench.cli.paths import Place
from mmbench.errors import UserError, one_line
from mmbench.formatting import DECIMALS
from mmbench.progress import Report, progress_report
from mmbench.records.store import CUSTOM, Result, ResultStore, read_result
from mmbench.transfer.arms import CONTROLS
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from mmbench.data import Dataset
    from mmbench.tools.reproduction import MetricPair
    from mmbench.transfer.resolution import ResolvedTask
    from mmbench.transfer.run import TransferRun

DIFFERS = 1  # exit code


@click.command(epilog="Example: mmbench reproduce results/patterns-1a2b3c4d/knn-patterns@2/moco.json")
@click.argument("record", type=Place())
@click.option(
    "--checkpoint",
    type=paths.checkpoint(CONTROLS),
    help="Where the weights are. Default: looked for by SHA-256 in run folders here and beside the results.",
)
@options.data(type=paths.DATA, help="Data set or folder. Default: the data set that the record names.")
@options.layout()
@options.data_root()
@click.option(
    "--protocol",
    "protocol_file",
    type=options.FILE,
    help="The protocol file of yours that the record followed.",
)
@click.option("--labels-file", type=options.FILE, help="The list of labelled images that the record used.")
@options.out(help="Keep the new record in this folder. Default: it is removed after the comparison.")
@options.device(
    default=None, show_default=False, help="auto, cpu, cuda or cuda:N. Default: the record's kind."
)
@options.threads(help="CPU threads. Default: as many as recorded, at most one per core.")
@options.workers()
@options.as_json()
def reproduce(
    record: Path,
    data: str | None,
    data_root: Path,
    layout: str | None,
    out: Path | None,
    as_json: bool,
    threads: int | None,
    **given: Any,
) -> int:
    """Run the record in the file RECORD again, from its own configuration, and compare what was measured.

    Weights and data must be those of the record. The exit code is 0 where all metrics are equal or differ by
    float noise (one image, or one in a thousand), and 1 where one differs.
    """
    if record.is_dir():
        raise UserError(f"{record} is a folder; name a record in it, which `mmbench results list` prints")
    recorded = read_result(record)
    if out is not None:
        require_writable(out, "--out")
    from mmbench.data import load_dataset
    from mmbench.tools.reproduction import task_of

    task = task_of(recorded, given.pop("protocol_file"))  # before Patterns may be rendered
    dataset = load_dataset(data or recorded.dataset.name, data_root, layout)
    _set_threads(recorded, threads)
    run = _run(record, recorded, task, dataset, given)
    console = Console(stderr=as_json or not sys.stdout.isatty())
    with _store(out) as store, progress_report(console, recorded.task) as report:
        again, path = _measure(run, store, report)
    kept = None if out is None else path
    code = _print(recorded, again, dataset, kept, as_json)
    if kept is not None:
        next_step("results", "show", kept)
    return code


@contextlib.contextmanager
def _store(out: Path | None) -> Iterator[ResultStore]:
    """Yield the folder of the new record: `out`, or one that is removed at the end."""
    if out is not None:
        yield ResultStore(out)
        return
    with tempfile.TemporaryDirectory(prefix="mmbench-reproduce-") as folder:
        yield ResultStore(Path(folder))


def _set_threads(recorded: Result, threads: int | None) -> None:
    """Use as many CPU threads as asked for, or as recorded: sums depend on how they are shared out."""
    import torch

    from mmbench.processes import cores

    torch.set_num_threads(threads or min(recorded.provenance.threads, cores()))


def _run(
    path: Path, recorded: Result, task: ResolvedTask, dataset: Any, given: dict[str, Any]
) -> TransferRun:
    """Return the run that a record describes.

    Raises:
        UserError: protocol, weights, labels or data are not those of the record.
    """
    from mmbench.device import resolve_device
    from mmbench.files import sha256_of
    from mmbench.tools.reproduction import weights_of
    from mmbench.transfer.compute import Compute, Precision
    from mmbench.transfer.inputs.feature_bank import FeatureBank
    from mmbench.transfer.run import TransferRun

    labels, wanted = given["labels_file"], recorded.config.get("labels_file_sha256")
    if wanted is not None and labels is None:
        named = recorded.config.get("labels_file", "a list")
        raise UserError(f"the record used the labelled images of {named}; name that file by --labels-file")
    if labels is not None and (not labels.is_file() or sha256_of(labels) != wanted):
        raise UserError(f"{labels} is not the list of labelled images that the record used")
    device = resolve_device(given["device"] or ("cpu" if recorded.provenance.device == "cpu" else "auto"))
    own = type(task.settings).model_fields
    precision: Precision = "float32" if "precision" in own else recorded.config.get("precision", "float32")
    place = path.absolute().parents  # results/DATA/PROTOCOL/record.json
    near = [Path.cwd(), *place[: min(4, len(place))]]
    rule = task.protocol.framing(None)
    run = TransferRun(
        task,
        weights_of(recorded, given["checkpoint"], near, dataset, rule),
        dataset,
        recorded.seed,
        Compute(device, precision, given["workers"]),
        FeatureBank(None, recorded.config.get("feature_dtype", "float32")),
        labels,
        receipt_id=recorded.receipt_id,
    )
    if run.reference.fingerprint != recorded.dataset.fingerprint:
        raise UserError(
            f"data set '{dataset.name}' in {dataset.root} is not the record's: its fingerprint is "
            f"{run.reference.fingerprint[:12]}, not {recorded.dataset.fingerprint[:12]}; name the right one "
            "by --data or --data-root"
        )
    name = recorded.dataset.name
    if run.reference.name != name:  # the same images in a folder of another name
        run = replace(run, dataset=replace(dataset, name=name))
    if run.protocol_id != recorded.protocol:
        raise UserError(f"the record's protocol is {recorded.protocol}, and this would be {run.protocol_id}")
    return run


def _measure(run: TransferRun, store: ResultStore, report: Report) -> tuple[Result, Path]:
    """Return the new record and its path.

    Raises:
        UserError: the store has this very record already.
    """
    from mmbench.leftovers import scratch_folder
    from mmbench.transfer.execution import execute

    path = run.path(store)
    if path.exists():
        raise UserError(f"{path} is there already, and no record is written over; choose another --out")
    with scratch_folder(Path(tempfile.gettempdir()) / "mmbench-reproduce") as work:
        return execute(run, store, work / path.stem, report), path


def _print(recorded: Result, again: Result, dataset: Dataset, kept: Path | None, as_json: bool) -> int:
    """Print the comparison; return the exit code."""
    from mmbench.tools.reproduction import changed_environment, changed_facts, metric_pairs, overall

    pairs = metric_pairs(recorded, again, dataset)
    verdict = overall(pairs)
    facts = changed_facts(recorded, again)
    environment = changed_environment(recorded.provenance, again.provenance)
    if as_json:
        found = {
            "verdict": verdict,
            "metrics": {pair.name: _values(pair) for pair in pairs},
            "differs": {name: {"recorded": old, "now": new} for name, (old, new) in facts.items()},
            "environment": {name: {"recorded": old, "now": new} for name, (old, new) in environment.items()},
            "record": None if kept is None else str(kept),
        }
        click.echo(json.dumps(found, indent=2, default=str))
    else:
        protocol = recorded.protocol.removesuffix(CUSTOM)
        click.echo(f"{recorded.model.arm} on {recorded.dataset.name}, {protocol}, seed {recorded.seed}")
        for line in _table(pairs):
            click.echo(line)
        for title, changes in (("not as recorded", facts), ("environment", environment)):
            for name, (old, new) in changes.items():
                click.echo(one_line(f"{title}: {name}: {_shown(old)} recorded, {_shown(new)} now", 300))
        if not environment:
            click.echo("environment: the same code, libraries and machine")
        click.echo(f"verdict: {verdict}")
    return DIFFERS if verdict == "differs" else 0


def _values(pair: MetricPair) -> dict[str, Any]:
    """Return the values of a pair as JSON holds them."""
    parts = {"recorded": pair.recorded, "now": pair.again}
    values: dict[str, Any] = {name: None if part is None else part.value for name, part in parts.items()}
    return {**values, "difference": pair.difference, "verdict": pair.verdict}


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _table(pairs: list[MetricPair]) -> list[str]:
    """Return the metrics as aligned lines, with one decimal more than the board has."""
    rows = [("metric", "recorded", "now", "difference", "")]
    for pair in pairs:
        first = pair.recorded or pair.again
        assert first is not None
        decimals = DECIMALS[first.unit] + 1
        numbers = [
            "-" if metric is None else f"{metric.value:.{decimals}f}"
            for metric in (pair.recorded, pair.again)
        ]
        change = "-" if pair.difference is None else f"{pair.difference:+.{decimals}f}"
        rows.append((pair.name, numbers[0], numbers[1], change, pair.verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in (0, 4) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
