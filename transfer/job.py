"""What a transfer task is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.data.types import Split
from mmbench.records.store import LabelSubset, Metric
from mmbench.transfer.compute import Compute
from mmbench.transfer.inputs.framing import FramingRule
from mmbench.transfer.inputs.images import Images, open_images
from mmbench.transfer.protocol import Protocol
from mmbench.transfer.resume import Unfinished
from mmbench.transfer.run import TransferRun

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TransferJob:
    """A run while it is carried out: everything a task is given.

    Attributes:
        run: what was requested. The task builds its own model from the backbone and never changes that.
        work: an empty folder for the task's logs and intermediate files.
        report: called with (done, total, message) to show progress; cheap to call often.
        unfinished: where a long training leaves what it needs to go on.
    """

    run: TransferRun
    work: Path
    report: Callable[[int, int, str], None] = lambda done, total, message: None
    unfinished: Unfinished = field(default_factory=lambda: Unfinished(None, torch.device("cpu")))

    @property
    def backbone(self) -> Backbone:
        """The weights."""
        return self.run.backbone

    @property
    def dataset(self) -> Dataset:
        """The data."""
        return self.run.dataset

    @property
    def protocol(self) -> Protocol:
        """The protocol that is followed."""
        return self.run.protocol

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.run.seed

    @property
    def compute(self) -> Compute:
        """How the backbone runs."""
        return self.run.compute

    @property
    def device(self) -> torch.device:
        """Where everything is computed."""
        return self.run.compute.device

    @property
    def labels_file(self) -> Path | None:
        """Official list of the labelled images, instead of a draw."""
        return self.run.labels_file

    @property
    def evaluated(self) -> Split:
        """The split that is evaluated."""
        return self.protocol.split  # type: ignore[return-value]

    @property
    def framing_rule(self) -> FramingRule:
        """How images are framed in evaluation."""
        return self.protocol.framing(self.backbone.card)

    def images(self, split: Split) -> Images:
        """Return a split's images at the size that the backbone is fed."""
        size = self.backbone.card.preprocessing.image_size
        return open_images(self.dataset, split, size, self.compute.reading_workers, self.framing_rule)

    def features(self, split: Split) -> Tensor:
        """Return the frozen features (N, C) of a split, in float32 or as the bank stores them."""

        def report(done: int, total: int) -> None:
            self.report(done, total, f"features of {split}")

        return self.run.bank.features(self.backbone, self.images(split), self.compute, report)


@dataclass(frozen=True)
class Measurement:
    """What a task returns; `execute` adds provenance and writes the record.

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
        outcomes: what is known of each evaluated image, a row or several for each, in the order of the data
            set; see `mmbench.transfer.outcomes`. None where the task says nothing of single images.
        files: what is put beside the record: ending of its name, such as "losses.png" -> a file in `work`.
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
    outcomes: pd.DataFrame | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
