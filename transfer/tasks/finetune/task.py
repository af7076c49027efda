"""Task `finetune`: finetune every layer on the whole training split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.tasks import ON_FEATURES, BoardColumn, task
from mmbench.transfer.training.settings import FinetuneSettings

if TYPE_CHECKING:
    from mmbench.transfer.job import Measurement, TransferJob


@task(
    "finetune",
    FinetuneSettings,
    "finetune/patterns@2",
    column=BoardColumn("Finetuning", order=60),
    metrics=("top1",),
    uses=ON_FEATURES,
)
def finetune(job: TransferJob, settings: FinetuneSettings) -> Measurement:
    """Finetune on every labelled training image, measure once on the evaluated split."""
    from mmbench.transfer.training.finetuning import finetune_and_measure

    return finetune_and_measure(job, job.images("train"), job.images(job.evaluated), settings)
