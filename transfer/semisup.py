"""Task `semisup`: finetune every layer on a class-balanced share of the labels."""

from __future__ import annotations

import torch
from pydantic import Field

from mmbench.data import ImageSplit
from mmbench.data.dataset import Split
from mmbench.data.subsets import class_balanced_subset
from mmbench.transfer.accuracy import classification_metrics, confusion
from mmbench.transfer.finetuning import FinetuneSettings, finetune, predict
from mmbench.transfer.task import Measurement, TransferJob, task


class SemisupSettings(FinetuneSettings):
    """Finetuning on `fraction` of the labels."""

    fraction: float = Field(gt=0, le=1)


@task("semisup", SemisupSettings, default_protocol="semisup/patterns-1pct@1")
def semisup(job: TransferJob, settings: SemisupSettings) -> Measurement:
    """Draw the labelled subset by the job's seed, finetune, measure once on the evaluated split."""
    evaluated: Split = job.protocol.split  # type: ignore[assignment]
    train, test = job.dataset.split("train"), job.dataset.split(evaluated)
    indices = class_balanced_subset(train.labels, settings.fraction, job.seed)
    labelled = ImageSplit(train.images[indices], train.labels[indices])
    model, seen, used = finetune(job, labelled, settings)
    # A run that silently sees more labels is this protocol's classic error: count what was really used.
    allowed = sum(round(settings.fraction * int(count)) for count in torch.bincount(train.labels))
    if used > allowed:
        raise RuntimeError(f"{used} labels were used where {100 * settings.fraction:g}% are {allowed}")
    scores = predict(model, test.images, job)
    return Measurement(
        metrics=classification_metrics(scores, test.labels, logits=True),
        confusion=confusion(scores, test.labels),
        split_sizes={"train": used, evaluated: len(test)},
        effective_lr=settings.backbone_learning_rate,
        images_seen=seen + len(test),
        notes=(f"{used} of {len(train)} labels, class-balanced, drawn with seed {job.seed}",),
    )
