"""`mmbench results`: list result records, and show one of them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from mmbench.cli import options
from mmbench.cli.next_step import next_step
from mmbench.cli.options import ListOption
from mmbench.cli.paths import Place
from mmbench.errors import UserError, one_line, unknown_name
from mmbench.formatting import Unit, between, measured
from mmbench.name_lists import separated
from mmbench.records.store import Result, ResultStore, read_result
from mmbench.settings.values import yaml_text

SUMMARY = ("schema_version", "task", "protocol", "primary_metric", "metrics", "seed", "created")


@dataclass(frozen=True)
class Row:
    """One record of the list.

    Attributes:
        pretraining_seed: of the weights; None where they have none or it is not known.
        metric, value, unit, n: the primary metric, and the number of images that it was computed on.
        file: path of the record.
        low, high: of the 95% interval over images, where there is one.
    """

    task: str
    arm: str
    data: str
    protocol: str
    seed: int
    pretraining_seed: int | None
    metric: str
    value: float
    unit: str
    n: int
    created: str
    file: str
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, path: Path, result: Result) -> Row:
        """Return the row of a record."""
        metric = result.metrics[result.primary_metric]
        return cls(
            task=result.task,
            arm=result.model.arm,
            data=result.dataset.name,
            protocol=result.protocol,
            seed=result.seed,
            pretraining_seed=result.model.seed,
            metric=result.primary_metric,
            value=metric.value,
            unit=metric.unit,
            n=metric.n,
            created=result.created.isoformat(timespec="seconds"),
            file=str(path),
            low=None if metric.interval is None else metric.interval[0],
            high=None if metric.interval is None else metric.interval[1],
        )


def read_records(folder: Path) -> tuple[list[tuple[Path, Result]], list[str]]:
    """Return the records below a folder in the order of their paths, and why other JSON files are not read.

    Raises:
        UserError: the folder does not exist, or no file in it could be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name the folder that `mmbench transfer` wrote to")
    records, invalid = ResultStore(folder).read_all()
    problems = [str(error) for error in invalid]
    if not records:
        files = "1 file" if len(problems) == 1 else f"{len(problems)} files"
        found = f"; {files} could not be read, the first: {problems[0]}" if problems else ""
        raise UserError(f"no result records below {folder}{found}; `mmbench transfer` writes them")
    return records, problems


def select(rows: Sequence[Row], name: str, wanted: Sequence[str]) -> list[Row]:
    """Return the rows with one of the wanted values in a column; all of them where none is wanted.

    Wanted values may be separated by commas, unless the values of the rows have these commas themselves.

    Raises:
        UserError: no row has such a value (near match named).
    """
    present = {str(getattr(row, name)) for row in rows}
    values = separated(wanted, present.__contains__)
    for value in values:
        if value not in present:
            raise unknown_name(f"{name} of the records", value, present)
    return [row for row in rows if not values or getattr(row, name) in values]


@click.group()
def results() -> None:
    """List result records, and show one of them."""


@results.command("list", epilog="Example: mmbench results list demo/results --task knn,linear")
@click.argument("folder", type=Place(), default=Path("results"))
@options.tasks(help="Only records of these tasks.")
@click.option(
    "--arm", "arms", cls=ListOption, whole=True, aliases=("--arms",), help="Only records of these arms."
)
@options.data(cls=ListOption, whole=True, help="Only records on these data sets.")
@options.as_json()
@options.as_csv()
def list_command(
    folder: Path,
    tasks: tuple[str, ...],
    arms: tuple[str, ...],
    data: tuple[str, ...],
    as_json: bool,
    as_csv: bool,
) -> None:
    """List the records below FOLDER (default: results), one line each, with the primary metric."""
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other; give one of them")
    records, problems = read_records(folder)
    rows = [Row.of(path, result) for path, result in records]
    wanted = {"task": tasks, "arm": arms, "data": data}
    chosen = [select(rows, name, values) for name, values in wanted.items()]
    rows = [row for row in rows if all(row in part for part in chosen)]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, list(Row.__annotations__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    else:
        _print_table(rows)
    for problem in problems:
        click.echo(one_line(f"not read: {problem}"), err=True)
    if rows:
        next_step("results", "show", rows[0].file)


def _print_table(rows: Iterable[Row]) -> None:
    """Print rows as aligned columns, the numbers to the right."""
    header = ("task", "arm", "data", "protocol", "seed", "metric", "value", "95%", "n", "file")
    cells: list[tuple[str, ...]] = [header]
    for row in rows:
        seed = str(row.seed) if row.pretraining_seed is None else f"{row.pretraining_seed}/{row.seed}"
        unit: Unit = row.unit  # type: ignore[assignment]
        interval = "" if row.low is None or row.high is None else between((row.low, row.high), unit)
        value = measured(row.value, unit)
        found = (row.metric, value, interval, str(row.n), row.file)
        cells.append((row.task, row.arm, row.data, row.protocol, seed, *found))
    right = {header.index(name) for name in ("seed", "value", "95%", "n")}
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo(one_line("  ".join(padded).rstrip()))
    if len(cells) > 1:
        records = "record" if len(cells) == 2 else "records"
        click.echo(f"{len(cells) - 1} {records}; seed: of the pretraining, if known / of the transfer")


@results.command("show", epilog="Example: mmbench results show results/patterns-1a2b/knn-patterns@2/x.json")
@click.argument("record", type=Place())
@options.as_json()
def show_command(record: Path, as_json: bool) -> None:
    """Show the record in the file RECORD: metrics, weights, data, settings and provenance."""
    if record.is_dir():
        raise UserError(f"{record} is a folder; `mmbench results list {record}` lists its records")
    result = read_result(record)
    if as_json:
        click.echo(result.model_dump_json(indent=2))
    else:
        click.echo(described(result))
    next_step("leaderboard", "show", record.absolute().parents[min(2, len(record.absolute().parents) - 1)])


def described(result: Result) -> str:
    """Return a record as text: what was measured, a line per metric, and everything else as YAML."""
    lines = [
        f"{result.model.arm} on {result.dataset.name}: {result.protocol}, seed {result.seed}",
        f"measured {result.created.isoformat(sep=' ', timespec='seconds')}",
        "",
    ]
    width = max(map(len, result.metrics))
    for name, metric in sorted(
        result.metrics.items(), key=lambda item: (item[0] != result.primary_metric, item[0])
    ):
        unit = "%" if metric.unit == "percent" else f" {metric.unit}"
        primary = "  (primary)" if name == result.primary_metric else ""
        value = f"{measured(metric.value, metric.unit)}{unit}"
        if metric.interval is not None:
            value += f" (95%: {between(metric.interval, metric.unit)})"
        lines.append(f"{name:{width}}  {value}, n {metric.n}{primary}")
    rest = result.model_dump(mode="json", exclude=set(SUMMARY), exclude_none=True)
    rest = {name: value for name, value in rest.items() if value not in ([], {})}
    return "\n".join(lines) + "\n\n" + yaml_text(rest, width=110)
