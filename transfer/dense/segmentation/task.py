"""Task `segmentation`: train an FCN from a backbone and report the mean intersection over union."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmbench.tasks import ANY_DATA, BoardColumn, prepares, task
from mmbench.transfer.dense.common.requirements import require_installed
from mmbench.transfer.dense.segmentation import head_settings  # noqa: F401  (registers each head's)
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

if TYPE_CHECKING:
    from mmbench.transfer.job import Measurement, TransferJob

INSTALL = "pip install 'mmbench[segmentation]'"


@contextlib.contextmanager
def _mmsegmentation() -> Iterator[None]:
    """Import mmsegmentation within, quietly.

    Raises:
        MissingExtraError: mmsegmentation is not installed.
    """
    require_installed("segmentation", INSTALL, mmengine="mmengine", mmcv="mmcv", mmseg="mmsegmentation")
    from mmbench.transfer.dense.common.quiet import quiet_import

    with quiet_import():
        yield


@prepares("segmentation")
def dry_run(job: TransferJob, settings: SegmentationSettings) -> list[str]:
    """Write what a run would start from, and prove that the backbone arrives; see `prepares`.

    Raises:
        MissingExtraError: mmsegmentation is not installed.
        UserError: the images or the backbone do not fit.
    """
    with _mmsegmentation():
        from mmbench.transfer.dense.segmentation import preparation

    return preparation.dry_run(job, settings)


@task(
    "segmentation",
    SegmentationSettings,
    {
        ANY_DATA: "segmentation/own@1",
        "patterns": "segmentation/patterns@1",
        "voc12aug": "segmentation/voc-fcn-20k@1",
        "cityscapes": "segmentation/cityscapes-fcn-40k@1",
        "ade20k": "segmentation/ade20k-fcn-80k@1",
    },
    column=BoardColumn("Segmentation", order=80),
    metrics=("mIoU", "mAcc", "aAcc"),
    uses=("work", "precision", "workers"),
    data="label maps",
)
def segmentation(job: TransferJob, settings: SegmentationSettings) -> Measurement:
    """Train every layer with mmengine's Runner, in one or several processes, and score every pixel.

    Raises:
        MissingExtraError: mmsegmentation is not installed.
        UserError: a tensor of the backbone does not arrive, the data have no label maps, or the training
            diverged.
    """
    with _mmsegmentation():
        from mmbench.transfer.dense.segmentation.run import train_and_evaluate

    return train_and_evaluate(job, settings)
