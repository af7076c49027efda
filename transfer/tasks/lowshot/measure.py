"""Logistic regression on k labelled images per class, for several k and many draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean as exact_mean
from statistics import stdev
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmbench.data.subsets import shots_per_class
from mmbench.distributed import on_main
from mmbench.records.store import Metric
from mmbench.transfer.intervals import (
    BOOTSTRAPPED,
    HOW,
    class_mean_interval,
    interval_note,
    percent_interval,
    rare_classes,
)
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, require_finite
from mmbench.transfer.outcomes import class_column, image_table
from mmbench.transfer.probes.logistic import Solver, moments
from mmbench.transfer.tasks.lowshot.settings import LowshotSettings

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-5  # at a decay of 0.01 every weight is within about 0.001 of its optimum
METRICS = ("top1", "mean_per_class")  # averaged over the draws
Fit = tuple[int, Tensor]  # images per class, and the predicted labels (N,)


def measure(job: TransferJob, settings: LowshotSettings) -> Measurement:
    """Fit every draw of every k, measure each on the evaluated split; top1 is the mean over all.

    Features are standardised with the mean and deviation of all of train, which needs no labels.

    Raises:
        UserError: a class has fewer images than the largest k; said before any image is read.
    """
    train, first = job.dataset.labels("train"), job.seed * settings.draws
    drawn = {
        shots: [shots_per_class(train, shots, first + draw) for draw in range(settings.draws)]
        for shots in settings.shots
    }
    bank, queries = job.features("train"), job.features(job.evaluated)
    return on_main(lambda: _measure(job, settings, drawn, bank, queries))


def _measure(
    job: TransferJob,
    settings: LowshotSettings,
    drawn: Mapping[int, list[Tensor]],
    bank: Tensor,
    queries: Tensor,
) -> Measurement:
    train, test = job.dataset.labels("train"), job.dataset.labels(job.evaluated)
    mean, deviation = moments(bank)
    queries = ((queries.float() - mean) / deviation).double()
    solver = Solver(settings.iterations, TOLERANCE)
    classes, done, stopped = len(job.dataset.classes), 0, 0
    total = len(settings.shots) * settings.draws
    parts: dict[str, Metric] = {}
    words: list[str] = []
    every: dict[str, list[float]] = {name: [] for name in METRICS}
    fits: list[Fit] = []
    for shots, draws in drawn.items():
        shares: dict[str, list[float]] = {name: [] for name in METRICS}
        for draw, chosen in enumerate(draws):
            job.report(done, total, f"{shots} per class, draw {draw + 1}")
            # In float32 some fits stall before they reach the tolerance; few images cost little in float64.
            seen, labels = ((bank[chosen].float() - mean) / deviation).double(), train[chosen]
            head = solver.fit(seen, labels, classes, settings.weight_decay)
            scores = head.scores(queries)
            require_finite(
                scores, f"give a stronger decay by --set weight_decay={10 * settings.weight_decay:g}"
            )
            found = classification_metrics(scores, test)
            fits.append((shots, scores.argmax(dim=1)))
            for name in METRICS:
                shares[name].append(found[name].value)
            stopped += not head.converged
            done += 1
        for name in METRICS:
            every[name] += shares[name]
            parts[f"{name}_{shots}shot"] = _percent(exact_mean(shares[name]), len(test))
        spread = f" ± {stdev(shares['top1']):.1f}" if settings.draws > 1 else ""
        words.append(f"{shots}: {exact_mean(shares['top1']):.1f}{spread}")
    notes = [f"images per class: top-1 over {settings.draws} draws: {'; '.join(words)}"]
    metrics, note = _with_intervals({name: exact_mean(every[name]) for name in METRICS}, fits, test, job.seed)
    if stopped:
        notes.append(f"{stopped} of {done} fits ended before they had converged")
    return Measurement(
        metrics={**metrics, **parts},
        split_sizes={"train": len(drawn[max(drawn)][0]), job.evaluated: len(test)},
        images_seen=len(train) + len(test),
        notes=(*notes, note),
        from_bank=True,
        outcomes=_outcomes(job, fits, test),
    )


def _with_intervals(
    values: Mapping[str, float], fits: Sequence[Fit], test: Tensor, seed: int
) -> tuple[dict[str, Metric], str]:
    """Return the means over all fits with their intervals, and the note on these.

    An image counts as the share of fits that classify it correctly.
    """
    shares = torch.stack([predicted == test for _, predicted in fits]).double().mean(dim=0)
    intervals = {
        "top1": percent_interval((100 * shares).numpy()),
        "mean_per_class": class_mean_interval(test, shares, seed),
    }
    found = {
        name: _percent(value, len(test)).model_copy(update={"interval": intervals[name]})
        for name, value in values.items()
    }
    how = {"top1": HOW["loss"], "mean_per_class": BOOTSTRAPPED}
    return found, interval_note(found, len(test), how) + rare_classes(test) + "; for these draws of labels"


def _outcomes(job: TransferJob, fits: Sequence[Fit], test: Tensor) -> pd.DataFrame:
    """Return image, label, correct (a share of all fits), and right_<k>shot: the draws of k with a hit."""
    right: dict[str, Tensor] = {}
    for shots, predicted in fits:
        name = f"right_{shots}shot"
        right[name] = right.get(name, torch.zeros(len(test), dtype=torch.int32)) + (predicted == test).int()
    return image_table(
        job,
        label=class_column(job.dataset.classes, test),
        correct=(sum(right.values(), torch.zeros(len(test))).double() / len(fits)).numpy(),
        **{name: counts.numpy() for name, counts in right.items()},
    )


def _percent(value: float, count: int) -> Metric:
    return Metric(value=value, higher_is_better=True, n=count)
