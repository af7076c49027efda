"""What one record alone shows: numbers that cannot be, or that are unlikely to be right."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Iterator

from mmbench.leaderboard.verify.problems import ERROR, WARNING, Level
from mmbench.records.store import Result

Found = Iterator[tuple[Level, str]]

ROUNDING = 1e-6  # percent; records hold every digit
PRINTED = 0.0051  # percent; records made by hand hold two decimals
# Of each pair the first metric never exceeds the second, by definition.
ORDERED = (("top1", "top5"), ("AP", "AP50"), ("AP75", "AP50"))
SHARES = ("top1", "top5", "aAcc")  # of images or pixels that are right
# Classes without objects are left out of AP.
MEANS_OF_CLASSES: dict[str, Level] = {"mean_per_class": ERROR, "mIoU": ERROR, "AP": WARNING}
# Release of Python 3.11, the oldest that mmbench runs on (peps.python.org/pep-0664).
OLDEST = datetime.datetime(2022, 10, 24, tzinfo=datetime.UTC)
# A classifier that is right less often than this share of chance has its labels mixed up.
LEAST_OF_CHANCE = 0.5


def implausible(result: Result, now: datetime.datetime) -> Found:
    """Yield (level, reason) for everything in a record that is wrong or unlikely.

    Args:
        now: the present, with its time zone; no record is from the future.
    """
    yield from _values(result)
    yield from _per_class(result)
    yield from _counts(result)
    yield from _times(result, now)
    yield from _card(result)


def _values(result: Result) -> Found:
    metrics = result.metrics
    for less, more in ORDERED:
        if less in metrics and more in metrics and metrics[less].value > metrics[more].value + PRINTED:
            yield ERROR, f"{less} {metrics[less].value:.4g} exceeds {more} {metrics[more].value:.4g}"
    for name, metric in metrics.items():
        if metric.interval is not None and not metric.interval[0] <= metric.value <= metric.interval[1]:
            low, high = metric.interval
            yield WARNING, f"{name} {metric.value:.4g} lies outside its interval [{low:.4g}, {high:.4g}]"
        if name == result.primary_metric and metric.unit == "percent" and metric.value in (0, 100):
            yield WARNING, f"{name} is exactly {metric.value:g}"
        if name in ("top1", "top5") and metric.unit == "percent":
            right = metric.value / 100 * metric.n
            if abs(right - round(right)) * 100 / metric.n > ROUNDING:
                yield WARNING, f"{name} {metric.value!r} is not a whole number of {metric.n} images"


def _per_class(result: Result) -> Found:
    if not result.per_class:
        return
    values = list(result.per_class.values())
    for name, level in MEANS_OF_CLASSES.items():
        metric = result.metrics.get(name)
        if metric is not None and abs(metric.value - statistics.fmean(values)) > PRINTED:
            mean = statistics.fmean(values)
            yield level, f"{name} is {metric.value:.4f}, but the mean of its classes is {mean:.4f}"
    top1 = result.metrics.get("top1")
    if top1 is None:
        return
    if not min(values) - PRINTED <= top1.value <= max(values) + PRINTED:
        yield (
            ERROR,
            f"top1 {top1.value:.4g} lies outside its classes' {min(values):.4g} to {max(values):.4g}",
        )
    chance = 100 / len(values)
    if len(values) > 1 and top1.value < LEAST_OF_CHANCE * chance:
        yield WARNING, f"top1 {top1.value:.4g} is far below chance, {chance:.4g} for {len(values)} classes"


def _counts(result: Result) -> Found:
    size = result.dataset.split_sizes.get(result.dataset.evaluated_split)
    metric = result.metrics[result.primary_metric]
    if size is not None and metric.n != size:
        split = result.dataset.evaluated_split
        yield WARNING, f"{result.primary_metric} is over {metric.n} images, but {split} has {size}"
    if result.outcomes is not None and result.outcomes.images != metric.n:
        images = result.outcomes.images
        yield WARNING, f"{result.primary_metric} is over {metric.n} images, its outcomes over {images}"


def _times(result: Result, now: datetime.datetime) -> Found:
    created = result.created if result.created.tzinfo else result.created.replace(tzinfo=datetime.UTC)
    if created > now + datetime.timedelta(days=1):
        yield ERROR, f"is dated {created:%Y-%m-%d}, in the future"
    if created < OLDEST:
        yield WARNING, f"is dated {created:%Y-%m-%d}, before there was a Python that runs mmbench"
    if result.wall_seconds == 0:
        yield WARNING, "took 0 seconds"
    if result.images_per_second == 0:
        yield WARNING, "0 images per second"
    card, compute, cores = result.model, result.compute, result.provenance.cpu_count
    if compute is not None and compute.seconds == 0:
        yield WARNING, f"used 0 {compute.kind.upper()} seconds"
    if compute is not None and compute.kind == "cpu" and cores and result.wall_seconds:
        most = 1.1 * result.wall_seconds * cores
        if compute.seconds > most:
            yield (
                WARNING,
                f"used {compute.seconds:.4g} CPU seconds in {result.wall_seconds:.4g} s on {cores} cores",
            )
    if card.pretrain_seconds == 0 and card.epochs:
        yield WARNING, f"{card.epochs} pretraining epochs in 0 seconds"


def _card(result: Result) -> Found:
    card = result.model
    if card.control and card.epochs:
        yield (
            ERROR,
            f"weights of the control {card.source_format} cannot have {card.epochs} pretraining epochs",
        )
    if not card.control and card.epochs == 0:
        yield WARNING, "0 pretraining epochs, but not a control"
