"""Task `segmentation`: train an FCN from a backbone and report the mean intersection over union."""

from __future__ import annotations

from mmbench.tasks import BoardColumn, task
from mmbench.transfer.dense.segmentation.requirement import require_mmseg
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings
from mmbench.transfer.job import Measurement, TransferJob


@task(
    "segmentation",
    SegmentationSettings,
    "segmentation/patterns@1",
    column=BoardColumn("Segmentation", order=80),
    metrics=("mIoU",),
    uses=("work",),
    dense=True,
)
def segmentation(job: TransferJob, settings: SegmentationSettings) -> Measurement:
    """Train every layer through mmengine's Runner and evaluate with mmsegmentation's IoUMetric.

    Raises:
        MissingExtraError: mmsegmentation is not installed.
        UserError: the backbone does not arrive whole, the data have no label maps, or the training diverged.
    """
    require_mmseg()
    from mmbench.transfer.dense.segmentation.quiet import quiet_import

    with quiet_import():
        from mmbench.transfer.dense.segmentation.run import train_and_evaluate

    return train_and_evaluate(job, settings)
