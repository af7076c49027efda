"""Task `semisup`: finetune every layer on a class-balanced share of the labels, or on an official list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmbench.data.manifest import index_digest
from mmbench.data.subsets import class_balanced_subset
from mmbench.errors import UserError
from mmbench.results import LabelSubset
from mmbench.settings_types import PositiveShare
from mmbench.tasks import ON_FEATURES, BoardColumn, task
from mmbench.transfer.inputs.labels import committed_draw, listed_images
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, confusion
from mmbench.transfer.tasks.training import FinetuneSettings, finetune, predict


class SemisupSettings(FinetuneSettings):
    """Finetuning on `fraction` of the labels."""

    fraction: PositiveShare


def _share(config: Mapping[str, Any]) -> tuple[str, float]:
    """Return a column per share of the labels."""
    if "fraction" not in config:
        return "Semi-supervised", 0.0
    percent = 100 * float(config["fraction"])
    return f"{percent:g}% labels", percent


@task(
    "semisup",
    SemisupSettings,
    "semisup/patterns-1pct@2",
    column=BoardColumn("Semi-supervised", order=50, variant=_share),
    metrics=("top1",),
    uses=(*ON_FEATURES, "labels_file"),
)
def semisup(job: TransferJob, settings: SemisupSettings) -> Measurement:
    """Draw the labelled subset by the job's seed, finetune, measure once on the evaluated split."""
    test = job.images(job.evaluated)
    if job.labels_file is None:
        train = job.images("train")
        indices = class_balanced_subset(train.labels, settings.fraction, job.seed)
        labelled, source = train.subset(indices), f"class-balanced, drawn with seed {job.seed}"
        allowed = sum(round(settings.fraction * int(count)) for count in torch.bincount(train.labels))
        committed = committed_draw(job.dataset, settings.fraction, job.seed, len(train))
        if committed is not None:
            if committed != index_digest(indices):
                raise RuntimeError(f"the draw of seed {job.seed} is not the one that the manifest commits")
            source += ", as committed"
    else:
        train, indices = listed_images(job, job.labels_file)
        labelled, source = train.subset(indices), f"listed in {job.labels_file.name}"
        allowed = len(indices)
        require_every_class(labelled.labels, job)
    model, seen, used = finetune(job, labelled, settings)
    # A run that silently sees more labels is this protocol's classic error: count what was really used.
    if used > allowed:
        raise RuntimeError(f"{used} labels were used where {100 * settings.fraction:g}% are {allowed}")
    subset = LabelSubset(used=used, available=len(train), source=source, sha256=index_digest(indices))
    scores = predict(model, test, job)
    return Measurement(
        metrics=classification_metrics(scores, test.labels, logits=True),
        confusion=confusion(scores, test.labels),
        split_sizes={"train": used, job.evaluated: len(test)},
        effective_lr=settings.backbone_learning_rate,
        images_seen=seen + len(test),
        notes=(f"{used} of {len(train)} labels, {source}",),
        labels=subset,
    )


def require_every_class(labels: Tensor, job: TransferJob) -> None:
    """Check that no class is without a label.

    Raises:
        UserError: the first class that is.
    """
    counts = torch.bincount(labels, minlength=len(job.dataset.classes))
    for name, count in zip(job.dataset.classes, counts.tolist(), strict=True):
        if count == 0:
            raise UserError(f"{job.labels_file} lists no image of class '{name}'; every class needs one")
