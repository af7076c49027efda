"""Task `detection`: fine-tune Faster or Mask R-CNN from a backbone and report COCO's average precision."""

from __future__ import annotations

from mmbench.tasks import BoardColumn, task
from mmbench.transfer.dense.detection.quiet import logs_to
from mmbench.transfer.dense.detection.requirement import require_detectron2
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.job import Measurement, TransferJob


@task(
    "detection",
    DetectionSettings,
    "detection/patterns@1",
    column=BoardColumn("Detection", order=70),
    metrics=("AP", "AP50", "AP75"),
    uses=("work",),
    dense=True,
)
def detection(job: TransferJob, settings: DetectionSettings) -> Measurement:
    """Train every layer with Detectron2's DefaultTrainer, evaluate with its COCOEvaluator.

    Raises:
        MissingExtraError: Detectron2 is not installed.
        UserError: the backbone does not arrive whole, the data have no boxes, or the training diverged.
    """
    require_detectron2()
    with logs_to(job.work / "import.txt"):
        from mmbench.transfer.dense.detection.run import train_and_evaluate

    return train_and_evaluate(job, settings)
