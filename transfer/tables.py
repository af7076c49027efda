"""Tables that `mmbench transfer` prints: protocols, and the numbers of records."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from mmbench.formatting import between, measured
from mmbench.records.store import Metric, Result
from mmbench.tasks import TASKS
from mmbench.transfer.protocol import protocols

if TYPE_CHECKING:
    from mmbench.transfer.measuring import Outcome

# Metrics of a part of the task, such as one k of kNN or objects of one size, and those beside the published.
OF_A_PART = re.compile(r"(top1_|mean_per_class_|mAP_|coco_).*|(mask_|keypoint_)?AP[sml]")

CLASSES_SHOWN = 21  # as many as VOC has


def protocol_table(tasks: Sequence[str]) -> Table:
    """Return every protocol, or those of some tasks, as a table; * marks what a task runs by default."""
    names = [TASKS.get(task).name for task in tasks] or TASKS.names()
    defaults = {TASKS.get(name).default_protocol for name in names}
    table = Table("task", "protocol", "metric", "title", box=None, pad_edge=False)
    for protocol in protocols().values():
        if protocol.task in names:
            star = "*" if protocol.id in defaults else ""
            title = f"as the version before, but {protocol.change}" if protocol.change else protocol.title
            table.add_row(protocol.task, protocol.id + star, protocol.metric, title)
    return _uncut(table, "task", "protocol", "metric")


def detail_table(outcomes: Sequence[Outcome]) -> Table | None:
    """Return one row per metric of a part of the task, such as one k of kNN, and one column per seed.

    Of several seeds, the mean and the sample standard deviation (over n - 1) follow.
    """
    first = outcomes[0].result
    names = [name for name in first.metrics if name not in _overall(first)]
    if not names:
        return None
    summaries = ("mean", "std") if len(outcomes) > 1 else ()
    seeds = (f"seed {outcome.result.seed}" for outcome in outcomes)
    table = Table("metric", *seeds, *summaries, box=None, pad_edge=False)
    for name in names:
        values = [written(outcome.result.metrics[name]) for outcome in outcomes]
        table.add_row(name, *values, *(_over_seeds(outcomes, name) if summaries else ()))
    return _uncut(table)


def written(metric: Metric) -> str:
    """Return a metric's value in the digits of its unit."""
    return measured(metric.value, metric.unit)


def _overall(result: Result) -> list[str]:
    """Return the metrics of the whole task, the primary one first."""
    names = [name for name in result.metrics if not OF_A_PART.fullmatch(name)]
    return sorted(names, key=lambda name: (name != result.primary_metric, name))


def metric_table(outcomes: Sequence[Outcome]) -> Table:
    """Return one row per seed and one column per metric, the primary one first.

    Of several seeds, the mean and the sample standard deviation (over n - 1) follow.
    """
    first = outcomes[0].result
    names = _overall(first)
    table = Table("seed", *names, "n", "seconds", box=None, pad_edge=False)
    for outcome in outcomes:
        result = outcome.result
        values = [written(result.metrics[name]) for name in names]
        count = str(result.metrics[result.primary_metric].n)
        table.add_row(str(result.seed), *values, count, f"{result.wall_seconds:.1f}")
    if len(outcomes) > 1:
        summaries = [_over_seeds(outcomes, name) for name in names]
        table.add_row("mean", *(mean for mean, _ in summaries))
        table.add_row("std", *(deviation for _, deviation in summaries))
    return _uncut(table)


def interval_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line per seed with the metrics' 95% intervals over images, where there are some."""
    lines = []
    for outcome in outcomes:
        metrics = [(name, outcome.result.metrics[name]) for name in _overall(outcome.result)]
        found = [
            f"{name} {between(metric.interval, metric.unit)}"
            for name, metric in metrics
            if metric.interval is not None
        ]
        if found:
            lines.append(f"95% over images, seed {outcome.result.seed}: {', '.join(found)}")
    return lines


def class_line(outcomes: Sequence[Outcome]) -> str | None:
    """Return the IoU per class, a mean over seeds; None where the task has none.

    Of many classes, the lowest ones.
    """
    results = [outcome.result for outcome in outcomes]
    if results[0].primary_metric != "mIoU" or not all(result.per_class for result in results):
        return None
    known: dict[str, list[float]] = {}
    for result in results:
        for name, value in (result.per_class or {}).items():
            known.setdefault(name, []).append(value)
    means = {name: statistics.fmean(values) for name, values in known.items()}
    which = "IoU per class"
    if len(means) > CLASSES_SHOWN:
        which = f"lowest IoU of {len(means)} classes"
        means = dict(sorted(means.items(), key=lambda item: item[1])[:CLASSES_SHOWN])
    over = f", mean of {len(results)} seeds" if len(results) > 1 else ""
    return f"{which}{over}: " + ", ".join(
        f"{' '.join(name.split())} {measured(value)}" for name, value in means.items()
    )


def _uncut(table: Table, *headers: str) -> Table:
    """Return the table with columns that a narrow terminal does not shorten: these, or all."""
    for column in table.columns:
        if not headers or column.header in headers:
            column.no_wrap = True
            column.min_width = max(len(str(cell)) for cell in (column.header, *column.cells))
    return table


def _over_seeds(outcomes: Sequence[Outcome], name: str) -> tuple[str, str]:
    """Return the mean and the sample standard deviation of a metric over several seeds."""
    metrics = [outcome.result.metrics[name] for outcome in outcomes]
    values, unit = [metric.value for metric in metrics], metrics[0].unit
    return measured(statistics.fmean(values), unit), measured(statistics.stdev(values), unit)
