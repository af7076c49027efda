"""Task `detection`: fine-tune Faster or Mask R-CNN from a backbone and report COCO's average precision."""

from __future__ import annotations

from mmbench.transfer.dense.detection.quiet import logs_to
from mmbench.transfer.dense.detection.requirement import require_detectron2
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.task import Measurement, TransferJob, task


@task("detection", DetectionSettings, default_protocol="detection/patterns@1", dense=True)
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
