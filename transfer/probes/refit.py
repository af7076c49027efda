"""Probes on frozen features: choose a strength on val, refit on train and val, measure once on test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic

import torch
from torch import Tensor

from mmbench.data.types import Split
from mmbench.distributed import on_main
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import percent_correct, require_finite
from mmbench.transfer.outcomes import classified
from mmbench.transfer.probes.selection import Axis, Choice, Model, Search
from mmbench.transfer.resume import state_of


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
        patience: see `Search`.
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

    @abstractmethod
    def stored(self, model: Model) -> dict[str, Any]:
        """Return tensors and plain values from which `restored` makes the model again."""

    @abstractmethod
    def restored(self, values: dict[str, Any]) -> Model:
        """Return the model that was stored."""

    def measure(self, job: TransferJob) -> Measurement:
        """Choose the strength on val, refit on train and val, measure once on the evaluated split.

        An interrupted run goes on with the strength after the last one that it finished.
        """
        labels = split_labels(job, "train", "val")
        features = {split: job.features(split).float() for split in labels}
        path = _Path(self, job, features, labels)
        parts = {"path": path}
        job.unfinished.restore(parts)
        while not on_main(lambda: path.search.over):
            on_main(path.step)
            job.unfinished.after_step(len(path.search.scores), lambda: state_of(parts))
        job.unfinished.after_training(len(path.search.scores), lambda: state_of(parts))
        return on_main(path.finish)


class _Path(Generic[Model]):
    """The strengths of a probe, one after the other; in the first process alone."""

    def __init__(
        self,
        probe: StrengthProbe[Model],
        job: TransferJob,
        features: Mapping[Split, Tensor],
        labels: Mapping[Split, Tensor],
    ) -> None:
        self.probe, self.job, self.features, self.labels = probe, job, features, labels
        self.search: Search[Model] = Search(probe.strengths, probe.patience)
        self._prepared: tuple[Tensor, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the scores so far, the newest model and the best."""
        kept = {"last": self.search.last, "best": self.search.best}
        models = {name: self.probe.stored(model) for name, model in kept.items() if model is not None}
        return {"scores": self.search.scores, **models}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self.search.scores = list(state["scores"])
        if "last" in state:
            self.search.last = self.probe.restored(state["last"])
            self.search.best = self.probe.restored(state["best"])

    def step(self) -> None:
        """Fit the next strength on train, and score it on val."""
        probe, strength = self.probe, self.search.value
        total = len(probe.strengths) + 1
        self.job.report(len(self.search.scores), total, f"{probe.name} {strength:.3g}")
        train, val = self._prepared = self._prepared or probe.prepare(
            self.features["train"], self.features["val"]
        )
        model = probe.fit(train, self.labels["train"], strength, self.search.last)
        predicted = probe.scores(model, val).argmax(dim=1)
        self.search.add(model, percent_correct(predicted, self.labels["val"]))

    def finish(self) -> Measurement:
        """Fit the chosen strength on train and val, and measure it."""
        probe, job, choice = self.probe, self.job, self.search.choice
        total = len(probe.strengths) + 1
        job.report(total - 1, total, "fit on train and val")
        fitted = refit_splits(job.evaluated)
        if self._prepared is None:  # all strengths were fitted before an interruption
            probe.prepare(self.features["train"], self.features["val"])
        self._prepared = None
        both, test = probe.prepare(
            torch.cat([self.features[split] for split in fitted]), self.features[job.evaluated]
        )
        assert self.search.best is not None
        targets = torch.cat([self.labels[split] for split in fitted])
        model = probe.refit(both, targets, choice.chosen, self.search.best)
        scores = probe.scores(model, test)
        require_finite(scores, probe.advice)
        job.report(total, total, "done")
        notes = [
            f"{probe.name} {choice.chosen:{probe.digits}} chosen on val among {len(choice.scores)}, "
            f"then fitted on {' and '.join(fitted)}",
            *choice.edge_notes(probe.axis(choice)),
            *probe.notes(model),
        ]
        return measurement(job, scores, self.labels, logits=not probe.unseen(model), notes=notes)
