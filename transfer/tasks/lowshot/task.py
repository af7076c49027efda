"""Task `lowshot`: logistic regression on k labelled images per class, for several k and many draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.tasks import ON_FEATURES, BoardColumn, task
from mmbench.transfer.tasks.lowshot.settings import LowshotSettings

if TYPE_CHECKING:
    from mmbench.transfer.job import Measurement, TransferJob


@task(
    "lowshot",
    LowshotSettings,
    "lowshot/k@2",
    column=BoardColumn("Few labels", order=40),
    metrics=("top1",),
    uses=ON_FEATURES,
    frozen=True,
)
def lowshot(job: TransferJob, settings: LowshotSettings) -> Measurement:
    """Fit every draw of every k, measure each on the evaluated split; top1 is the mean over all."""
    from mmbench.transfer.tasks.lowshot.measure import measure

    return measure(job, settings)
