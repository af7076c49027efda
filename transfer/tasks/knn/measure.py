"""The kNN classifiers of the task `knn`: a single one, or the one that val chooses from a grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mmbench.data.types import Split
from mmbench.distributed import on_main
from mmbench.neighbours import knn_grid
from mmbench.records.store import Metric
from mmbench.transfer.inputs.features import is_pixels
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, percent_correct, require_finite
from mmbench.transfer.probes.refit import measurement, refit_splits, split_labels
from mmbench.transfer.probes.selection import Axis, Choice
from mmbench.transfer.tasks.knn.settings import (
    SMALLEST_TEMPERATURE,
    KnnGridSettings,
    KnnSettings,
    require_neighbours,
)

WARM = 0.1  # a temperature at which votes cannot overflow; Wu et al. 2018 take 0.07
Pair = tuple[int, float]  # k and T


class Bank(NamedTuple):
    """The images that vote: features (B, C) and labels (B,)."""

    features: Tensor
    labels: Tensor


def _features(job: TransferJob, *splits: Split) -> list[Tensor]:
    """Return the features of splits; for raw pixels, less the mean image of the first."""
    return _centred(job, [job.features(split) for split in splits])


def _centred(job: TransferJob, found: list[Tensor]) -> list[Tensor]:
    """Return features; those of raw pixels less the mean image of the first, which is the bank."""
    if is_pixels(job.backbone):
        mean = found[0].float().mean(dim=0)
        found = [features - mean for features in found]
    return found


def _votes(
    job: TransferJob, queries: Tensor, bank: Bank, settings: KnnGridSettings, advice: str
) -> Iterator[tuple[Pair, Tensor]]:
    """Yield every pair of k and T with the votes (Q, classes) of its classifier.

    Raises:
        UserError: votes that overflow; the message ends with `advice`.
    """
    found = knn_grid(
        queries.to(job.device),
        bank.features,
        bank.labels,
        len(job.dataset.classes),
        neighbours=settings.neighbours,
        temperatures=settings.temperatures,
        chunk=settings.chunk,
    )
    for k, t, votes in found:
        scores = votes.cpu()
        require_finite(scores, f"votes overflow; give {advice}")
        yield (k, t), scores


def measure_single(job: TransferJob, settings: KnnSettings) -> Measurement:
    """Measure one pair of k and T on the evaluated split."""
    splits = refit_splits(job.evaluated) if settings.neighbours_from == "train and val" else ("train",)
    labels = split_labels(job, *splits)
    require_neighbours(settings, sum(len(labels[split]) for split in splits))
    parts = [job.features(split) for split in splits]
    features, queries = _centred(
        job, [parts[0] if len(parts) == 1 else torch.cat(parts), job.features(job.evaluated)]
    )
    bank = Bank(features, torch.cat([labels[split] for split in splits]))
    pair = KnnGridSettings(
        neighbours=(settings.neighbours,), temperatures=(settings.temperature,), chunk=settings.chunk
    )

    def measure() -> Measurement:
        advice = f"a larger temperature by --set temperature={WARM}"
        ((_, scores),) = _votes(job, queries, bank, pair, advice)
        return measurement(job, scores, labels, logits=False)

    return on_main(measure)


def measure_grid(job: TransferJob, settings: KnnGridSettings) -> Measurement:
    """Choose k and T by top-1 on val, measure every pair on the evaluated split, report the chosen one."""
    labels = split_labels(job, "train", "val")
    require_neighbours(settings, len(labels["train"]))
    features, val, queries = _features(job, "train", "val", job.evaluated)
    bank = Bank(features, labels["train"])
    axes: tuple[Axis[Pair], ...] = (
        # k ranges from 1 to all images.
        Axis(
            "k", "neighbours", settings.neighbours, lambda pair: pair[0], least=1, most=len(labels["train"])
        ),
        Axis("T", "temperatures", settings.temperatures, lambda pair: pair[1], least=SMALLEST_TEMPERATURE),
    )

    def measure() -> Measurement:
        advice = f"larger temperatures by --set temperatures=[{WARM}]"
        on_val = {
            pair: percent_correct(votes.argmax(dim=1), labels["val"])
            for pair, votes in _votes(job, val, bank, settings, advice)
        }
        choice = Choice(list(on_val), list(on_val.values()))
        k, t = choice.chosen
        notes = (f"k {k} and T {t:g} chosen on val among {len(on_val)} pairs", *choice.edge_notes(*axes))
        every: dict[str, Metric] = {}
        for pair, votes in _votes(job, queries, bank, settings, advice):
            metrics = classification_metrics(votes, labels[job.evaluated])
            every[f"top1_k{pair[0]}_t{pair[1]:g}"] = metrics["top1"]
            if pair == choice.chosen:
                chosen = measurement(job, votes, labels, logits=False, notes=notes)
        return replace(chosen, metrics={**every, **chosen.metrics})

    return on_main(measure)
