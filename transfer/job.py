"""What a transfer task is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.data.types import Split
from mmbench.results import LabelSubset, Metric
from mmbench.transfer.compute import Compute, Precision
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.framing import FramingRule
from mmbench.transfer.inputs.images import Images, open_images
from mmbench.transfer.protocol import Protocol
from mmbench.transfer.resume import Unfinished


@dataclass(frozen=True)
class TransferJob:
    """Everything a task is given.

    Attributes:
        backbone: the weights; every task builds its own model from them and never changes them.
        seed: seeds everything random in the task, and which label subset is drawn.
        device: torch device.
        work: an empty folder of the task's own, for logs and intermediate files.
        report: called with (done, total, words) to show progress; cheap to call often.
        bank: keeps frozen features between tasks.
        precision, workers: see `Compute`.
        labels_file: an official list of the labelled images, instead of a draw.
        remarks: what a reader of the record must know about the data.
        unfinished: where a long training leaves what it needs to go on.
    """

    backbone: Backbone
    dataset: Dataset
    protocol: Protocol
    seed: int
    device: torch.device
    work: Path
    report: Callable[[int, int, str], None] = lambda done, total, words: None
    bank: FeatureBank = field(default_factory=FeatureBank)
    precision: Precision = "float32"
    workers: int | None = None
    labels_file: Path | None = None
    remarks: tuple[str, ...] = ()
    unfinished: Unfinished = field(default_factory=lambda: Unfinished(None, torch.device("cpu")))

    @property
    def compute(self) -> Compute:
        """How the backbone runs."""
        return Compute(self.device, self.precision, self.workers)

    @property
    def evaluated(self) -> Split:
        """The split that is evaluated."""
        return self.protocol.split  # type: ignore[return-value]

    def images(self, split: Split) -> Images:
        """Return a split's pictures at the size that the backbone is fed."""
        size = self.backbone.card.preprocessing.image_size
        return open_images(self.dataset, split, size, self.compute.reading_workers, self.framing_rule)

    @property
    def framing_rule(self) -> FramingRule:
        """How images are framed in evaluation."""
        return self.protocol.framing(self.backbone.card)

    def features(self, split: Split) -> Tensor:
        """Return the frozen features (N, C) of a split, in float32 or as the bank stores them."""

        def report(done: int, total: int) -> None:
            self.report(done, total, f"features of {split}")

        return self.bank.features(self.backbone, self.images(split), self.compute, report)


@dataclass(frozen=True)
class Measurement:
    """What a task hands back; the frame adds provenance and writes the record.

    Attributes:
        metrics: must hold the protocol's primary metric.
        split_sizes: images used per split (for semisup, the labelled images really used as "train").
        effective_lr: learning rate after every scaling rule; None where nothing is learned.
        images_seen: images through the backbone, training and evaluation, for the throughput.
        notes: facts a reader of the record must know.
        confusion: int64 (classes, classes), rows true, columns predicted; None where nothing is classified.
        per_class: class -> percent, where it does not follow from `confusion`.
        labels: which labels were used, where that is less than all.
        from_bank: whether the backbone ran for nothing but features of the bank.
    """

    metrics: dict[str, Metric]
    split_sizes: dict[str, int]
    effective_lr: float | None = None
    images_seen: int | None = None
    notes: tuple[str, ...] = ()
    confusion: Tensor | None = None
    per_class: Mapping[str, float] | None = None
    labels: LabelSubset | None = None
    from_bank: bool = False
