"""Task `linear`: a linear classifier on a frozen backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.tasks import ON_FEATURES, BoardColumn, task
from mmbench.transfer.tasks.linear.settings import (
    AugmentedProbe,
    CachedProbe,
    LinearSettings,
    SvmProbe,
    SweepProbe,
)

if TYPE_CHECKING:
    from mmbench.transfer.job import Measurement, TransferJob


@task(
    "linear",
    LinearSettings,
    "linear/patterns@2",
    column=BoardColumn("Linear", order=20),
    metrics=("top1", "mAP"),
    uses=ON_FEATURES,
    frozen=True,
)
def linear(job: TransferJob, settings: LinearSettings) -> Measurement:
    """Measure a linear classifier on frozen features; that they are frozen is checked in the run."""
    if isinstance(settings, AugmentedProbe):
        from mmbench.transfer.tasks.linear.augmented import measure_augmented

        return measure_augmented(job, settings)
    if isinstance(settings, SweepProbe):
        from mmbench.transfer.tasks.linear.sweep import measure_sweep

        return measure_sweep(job, settings)
    if isinstance(settings, SvmProbe):
        from mmbench.transfer.tasks.linear.svm import measure_svm

        return measure_svm(job, settings)
    assert isinstance(settings, CachedProbe)
    from mmbench.transfer.tasks.linear.cached import WeightDecayProbe

    return WeightDecayProbe(settings, len(job.dataset.classes)).measure(job)
