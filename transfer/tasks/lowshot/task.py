"""Task `lowshot`: logistic regression on k labelled images per class, for several k and many draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.tasks import ON_FEATURES, BoardColumn, checks, task
from mmbench.transfer.tasks.lowshot.settings import LowshotSettings

if TYPE_CHECKING:
    from mmbench.data import Dataset
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


@checks("lowshot")
def check(dataset: Dataset, settings: LowshotSettings, labels_file: Path | None) -> None:
    """Check that every class has as many images as are drawn of it.

    Raises:
        UserError: one has fewer.
    """
    from mmbench.data.subsets import require_shots

    if not dataset.multilabel:
        require_shots(dataset.labels("train"), max(settings.shots), dataset.classes)
