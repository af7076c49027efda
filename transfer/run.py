"""TransferRun: one task on one backbone and one data set with one seed, before anything is computed."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import DATASETS, Dataset
from mmbench.errors import UserError, shown
from mmbench.files import sha256_of
from mmbench.records.fields import name_problem
from mmbench.records.store import DatasetReference, ResultStore
from mmbench.tasks import TASKS
from mmbench.transfer.compute import Compute, default_compute
from mmbench.transfer.encoder import EncodedModel
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.protocol import Protocol
from mmbench.transfer.resolution import ResolvedTask


@dataclass(frozen=True)
class TransferRun:
    """A run as it is requested. It knows its configuration and where its record belongs.

    `mmbench.transfer.execution.execute` carries it out. Making one checks that task, weights and data go
    together.

    Attributes:
        task: the task, its protocol and its settings, resolved once.
        seed: seeds everything random in the task, and which label subset is drawn.
        bank: stores frozen features between runs.
        labels_file: official list of the labelled images, instead of a draw.
        remarks: what a reader of the record must know about the data.
        receipt_id: of the conversion receipt, where the weights were converted.
        weights_sha256: see `weights_digest`; None computes it when a record is written.

    Raises:
        UserError: weights or data that the task cannot use, or no such list of labels.
    """

    task: ResolvedTask
    backbone: Backbone
    dataset: Dataset
    seed: int = 0
    compute: Compute = field(default_factory=default_compute)
    bank: FeatureBank = field(default_factory=FeatureBank)
    labels_file: Path | None = None
    remarks: tuple[str, ...] = ()
    receipt_id: str | None = None
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        entry = self.task.entry
        if not entry.frozen:
            usable = ("labels", entry.data)  # of these data, tasks that need no backbone
            entries = [TASKS.get(name) for name in TASKS.names()]
            *others, last = (other.name for other in entries if other.frozen and other.data in usable)
            frozen = f"use {', '.join(others)} or {last}"
            if self.backbone.card.source_format == "pixels":
                raise UserError(f"task '{entry.name}' trains a backbone, and raw pixels have none; {frozen}")
            if isinstance(self.backbone, EncodedModel):
                raise UserError(
                    f"task '{entry.name}' trains a backbone, and an encoder only gives features; {frozen}"
                )
        if self.labels_file is not None:
            if "labels_file" not in entry.uses:
                raise UserError(f"task '{entry.name}' takes no list of labelled images; omit --labels-file")
            if not self.labels_file.is_file():
                raise UserError(f"no list of labelled images at {self.labels_file}; check --labels-file")
        if entry.data == "boxes":
            self.dataset.require_annotated()
        elif entry.dense:
            self.dataset.require_label_maps()
        else:
            self._check_labels()

    def _check_labels(self) -> None:
        """Check that the data set can be classified, with this protocol.

        Raises:
            UserError: fewer than two classes; several labels per image where one is expected, or the reverse.
        """
        dataset, protocol = self.dataset, self.protocol
        require_labels(dataset, self.task.entry.name)
        if len(dataset.classes) < 2:
            raise UserError(
                f"data set '{dataset.name}' has one class ({dataset.classes[0]}), and classification needs "
                "two; give it a folder per class"
            )
        if dataset.multilabel and not protocol.multilabel:
            raise UserError(
                f"images of '{dataset.name}' have several labels, which {protocol.id} cannot use; "
                "use --task linear --protocol linear/voc07-svm@2"
            )
        if not dataset.multilabel and protocol.multilabel:
            raise UserError(
                f"images of '{dataset.name}' have one label each, and {protocol.id} is for several; "
                "use --task linear --protocol linear/sweep@2"
            )

    @property
    def protocol(self) -> Protocol:
        """The protocol that is followed."""
        return self.task.protocol

    @property
    def protocol_id(self) -> str:
        """The protocol's id as it is recorded; see `ResolvedTask`."""
        return self.task.protocol_id

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """Every resolved setting that changes numbers, as it is recorded."""
        config = self.task.settings.recorded()
        if "precision" in self.task.entry.uses:
            config |= self.compute.recorded()
        if self.bank.stored != "float32" and self.task.entry.frozen:
            config["feature_dtype"] = self.bank.stored
        if self.labels_file is not None:
            config["labels_file"] = self.labels_file.name
            config["labels_file_sha256"] = sha256_of(self.labels_file)
        if self.task.file_sha256 is not None:
            config["protocol_file_sha256"] = self.task.file_sha256
        return config

    @functools.cached_property
    def reference(self) -> DatasetReference:
        """Which data; the sizes of the splits are known only after the run.

        Raises:
            UserError: its name is not one that a record can hold.
        """
        if self.task.entry.data == "boxes":
            fingerprint = self.dataset.require_annotated().fingerprint()
        elif self.task.entry.dense:
            fingerprint = self.dataset.require_label_maps().fingerprint()
        else:
            fingerprint = self.dataset.fingerprint
        if problem := name_problem(self.dataset.name):
            raise UserError(
                f"the name of the data set, {shown(self.dataset.name)}, {problem}, so no record can hold it; "
                "rename its folder"
            )
        return DatasetReference(
            name=self.dataset.name,
            fingerprint=fingerprint,
            split_sizes={},
            evaluated_split=self.protocol.split,
        )

    @property
    def metric(self) -> str:
        """The primary metric: the protocol's, or that which the field reports on this data set."""
        by_data = not self.task.entry.dense and self.protocol.metric == "top1"
        return self.dataset.metric if by_data else self.protocol.metric

    def path(self, store: ResultStore) -> Path:
        """Return where the record of this run is or will be."""
        return store.path_of(self.backbone.card, self.protocol_id, self.reference, self.config, self.seed)


def require_labels(dataset: Dataset, task: str) -> None:
    """Check that the images of a data set have classes.

    Raises:
        UserError: it has boxes or masks alone.
    """
    if dataset.splits or all(
        part is None for part in (dataset.annotated, dataset.label_maps, dataset.scenes)
    ):
        return
    if dataset.scenes is not None:
        raise UserError(
            f"data set '{dataset.name}' has boxes and masks but no class per image, which task '{task}' "
            "needs; use --task detection or segmentation"
        )
    own = {"boxes": dataset.annotated, "label maps": dataset.label_maps}
    layouts = dict.fromkeys(data.layout for data in own.values() if data is not None)
    has = " and ".join(what for what, data in own.items() if data is not None)
    tasks = {"boxes": "detection", "label maps": "segmentation"}
    fitting = " or ".join(tasks[what] for what, data in own.items() if data is not None)
    named = dataset.name in DATASETS.names() or dataset.annotated is None
    hint = "" if named else ", or --layout folder for class folders"
    raise UserError(
        f"data set '{dataset.name}' ({' and '.join(layouts)} layout) has {has} but no class per image, "
        f"which task '{task}' needs; use --task {fitting}{hint}"
    )
