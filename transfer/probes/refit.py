"""Probes on frozen features: choose a strength on val, refit on train and val, measure once on test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Generic

import torch
from torch import Tensor

from mmbench.data.types import Split
from mmbench.distributed import on_main
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import percent_correct, require_finite
from mmbench.transfer.outcomes import classified
from mmbench.transfer.probes.selection import Axis, Choice, Model, search


def split_labels(job: TransferJob, *splits: Split) -> dict[Split, Tensor]:
    """Return the labels of `splits`, and of the evaluated split if it is not one of them."""
    return {split: job.dataset.labels(split) for split in dict.fromkeys((*splits, job.evaluated))}


def refit_splits(evaluated: Split) -> tuple[Split, ...]:
    """Return the splits that the last fit uses: train and val, or train alone where val is evaluated."""
    return ("train",) if evaluated == "val" else ("train", "val")


def measurement(
    job: TransferJob,
    scores: Tensor,
    labels: Mapping[Split, Tensor],
    *,
    logits: bool = True,
    notes: Sequence[str] = (),
) -> Measurement:
    """Return the measurement of a classifier on features of the bank.

    Args:
        scores: (N, classes), of the evaluated split.
        labels: of every split that was used.
        logits: see `classification_metrics`.
    """
    sizes: dict[str, int] = {split: len(part) for split, part in labels.items()}
    found = classified(job, scores, logits=logits)
    return Measurement(
        metrics=found.metrics,
        split_sizes=sizes,
        images_seen=sum(sizes.values()),
        notes=(*notes, *found.notes),
        confusion=found.confusion,
        from_bank=True,
        outcomes=found.outcomes,
    )


class StrengthProbe(ABC, Generic[Model]):
    """A linear classifier whose strength of regularisation is chosen by top-1 on val.

    Attributes:
        name: what the strength is called in the record.
        digits: format of the strength in the record.
        advice: what to do about scores that are not finite.
        strengths: candidates, from strong to weak; of equal ones the strongest is chosen.
        patience: see `search`.
    """

    name: ClassVar[str]
    digits: ClassVar[str] = "g"
    advice: ClassVar[str]
    strengths: Sequence[float]
    patience: int | None = None

    def __init__(self, classes: int) -> None:
        self.classes = classes

    @abstractmethod
    def prepare(self, reference: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features that are fitted (N, C) and others (M, C), scaled by the first."""

    @abstractmethod
    def fit(self, features: Tensor, labels: Tensor, strength: float, start: Model | None) -> Model:
        """Return the classifier of one strength; `start` is that of a similar one."""

    def refit(self, features: Tensor, labels: Tensor, strength: float, start: Model) -> Model:
        """Return the classifier that is measured; `start` is the one that val chose."""
        return self.fit(features, labels, strength, start)

    @abstractmethod
    def scores(self, model: Model, features: Tensor) -> Tensor:
        """Return logits (N, classes)."""

    @abstractmethod
    def axis(self, choice: Choice[float]) -> Axis[float]:
        """Return the strengths as the axis of a grid."""

    @abstractmethod
    def notes(self, model: Model) -> list[str]:
        """Return what a reader of the record must know about the last fit."""

    def unseen(self, model: Model) -> int:
        """Return how many classes had no image to learn from; if any, the loss means nothing."""
        return 0

    def measure(self, job: TransferJob) -> Measurement:
        """Choose the strength on val, refit on train and val, measure once on the evaluated split."""
        labels = split_labels(job, "train", "val")
        features = {split: job.features(split).float() for split in labels}
        return on_main(lambda: self._measure(job, features, labels))

    def _measure(
        self, job: TransferJob, features: Mapping[Split, Tensor], labels: Mapping[Split, Tensor]
    ) -> Measurement:
        total = len(self.strengths) + 1
        train, val = self.prepare(features["train"], features["val"])
        choice, model = search(
            self.strengths,
            lambda strength, start: self.fit(train, labels["train"], strength, start),
            lambda model: percent_correct(self.scores(model, val).argmax(dim=1), labels["val"]),
            patience=self.patience,
            report=lambda done, strength: job.report(done, total, f"{self.name} {strength:.3g}"),
        )
        job.report(total - 1, total, "fit on train and val")
        fitted = refit_splits(job.evaluated)
        both, test = self.prepare(torch.cat([features[split] for split in fitted]), features[job.evaluated])
        model = self.refit(both, torch.cat([labels[split] for split in fitted]), choice.chosen, model)
        scores = self.scores(model, test)
        require_finite(scores, self.advice)
        job.report(total, total, "done")
        notes = [
            f"{self.name} {choice.chosen:{self.digits}} chosen on val among {len(choice.scores)}, "
            f"then fitted on {' and '.join(fitted)}",
            *choice.edge_notes(self.axis(choice)),
            *self.notes(model),
        ]
        return measurement(job, scores, labels, logits=not self.unseen(model), notes=notes)
