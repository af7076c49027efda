"""Task `segmentation`: train an FCN from a backbone and report the mean intersection over union."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.tasks import BoardColumn, task
from mmbench.transfer.dense.common.requirements import require_installed
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

if TYPE_CHECKING:
    from mmbench.transfer.job import Measurement, TransferJob

INSTALL = "pip install 'mmbench[segmentation]'"


@task(
    "segmentation",
    SegmentationSettings,
    "segmentation/patterns@1",
    column=BoardColumn("Segmentation", order=80),
    metrics=("mIoU", "mAcc", "aAcc"),
    uses=("work",),
    data="label maps",
)
def segmentation(job: TransferJob, settings: SegmentationSettings) -> Measurement:
    """Train every layer with mmengine's Runner and evaluate with mmsegmentation's IoUMetric.

    Raises:
        MissingExtraError: mmsegmentation is not installed.
        UserError: a tensor of the backbone does not arrive, the data have no label maps, or the training
            diverged.
    """
    require_installed("segmentation", INSTALL, mmengine="mmengine", mmcv="mmcv", mmseg="mmsegmentation")
    from mmbench.transfer.dense.common.quiet import quiet_import

    with quiet_import():
        from mmbench.transfer.dense.segmentation.run import train_and_evaluate

    return train_and_evaluate(job, settings)
