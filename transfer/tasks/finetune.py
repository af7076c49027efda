"""Task `finetune`: finetune every layer on the whole training split."""

from __future__ import annotations

from mmbench.tasks import ON_FEATURES, BoardColumn, task
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, confusion
from mmbench.transfer.tasks.training import FinetuneSettings, finetune, predict


@task(
    "finetune",
    FinetuneSettings,
    "finetune/patterns@2",
    column=BoardColumn("Finetuning", order=60),
    metrics=("top1",),
    uses=ON_FEATURES,
)
def finetune_all(job: TransferJob, settings: FinetuneSettings) -> Measurement:
    """Finetune on every labelled training image, measure once on the evaluated split."""
    train, test = job.images("train"), job.images(job.evaluated)
    model, seen, used = finetune(job, train, settings)
    scores = predict(model, test, job)
    return Measurement(
        metrics=classification_metrics(scores, test.labels, logits=True),
        confusion=confusion(scores, test.labels),
        split_sizes={"train": used, job.evaluated: len(test)},
        effective_lr=settings.backbone_learning_rate,
        images_seen=seen + len(test),
    )
