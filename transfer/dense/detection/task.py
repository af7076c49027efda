"""Task `detection`: fine-tune Faster or Mask R-CNN from a backbone and report COCO's average precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmbench.tasks import ANY_DATA, BoardColumn, prepares, task
from mmbench.transfer.dense.common.requirements import require_installed
from mmbench.transfer.dense.detection import detector_settings  # noqa: F401  (registers each detector's)
from mmbench.transfer.dense.detection.settings import DetectionSettings

if TYPE_CHECKING:
    from mmbench.transfer.job import Measurement, TransferJob

INSTALL = "pip install 'mmbench[detection]' && python -m mmbench.tools.install_detectron2"


@contextlib.contextmanager
def _detectron2() -> Iterator[None]:
    """Import Detectron2 within, quietly.

    Raises:
        MissingExtraError: Detectron2 is not installed.
    """
    require_installed("detection", INSTALL, detectron2="Detectron2", pycocotools="pycocotools")
    from mmbench.transfer.dense.common.quiet import quiet_import

    with quiet_import():
        yield


@prepares("detection")
def dry_run(job: TransferJob, settings: DetectionSettings) -> list[str]:
    """Write what a run would start from, and prove that the backbone arrives; see `prepares`.

    Raises:
        MissingExtraError: Detectron2 is not installed.
        UserError: the images or the backbone do not fit the detector.
    """
    with _detectron2():
        from mmbench.transfer.dense.detection.dry_run import dry_run_lines

    return dry_run_lines(job, settings)


@task(
    "detection",
    DetectionSettings,
    {
        ANY_DATA: "detection/own@1",
        "patterns": "detection/patterns@2",
        "voc": "detection/voc-c4-24k@2",
        "voc2007": "detection/voc-c4-24k@2",
        "coco": "detection/coco-c4-1x@2",
        "coco-keypoints": "detection/coco-keypoint-2x@1",
        "cityscapes": "detection/cityscapes-fpn-24k@1",
    },
    column=BoardColumn("Detection", order=70),
    metrics=("AP", "AP50", "AP75", "mask_AP", "mask_AP50", "mask_AP75", "keypoint_AP", "keypoint_AP50"),
    uses=("work", "precision", "workers"),
    data="boxes",
)
def detection(job: TransferJob, settings: DetectionSettings) -> Measurement:
    """Train with Detectron2, in one or several processes, and score the detections as the protocol says.

    Raises:
        MissingExtraError: Detectron2 is not installed.
        UserError: a tensor of the backbone does not arrive, the data have no boxes, or the training diverged.
    """
    with _detectron2():
        from mmbench.transfer.dense.detection.run import train_and_evaluate

    return train_and_evaluate(job, settings)
