"""Task `linear`: a linear classifier on a frozen backbone."""

from __future__ import annotations

from mmbench.transfer.task import Measurement, TransferJob, task
from mmbench.transfer.tasks.linear.augmented import measure_augmented
from mmbench.transfer.tasks.linear.cached import measure_cached
from mmbench.transfer.tasks.linear.settings import (
    AugmentedProbe,
    CachedProbe,
    LinearSettings,
    SvmProbe,
    SweepProbe,
)
from mmbench.transfer.tasks.linear.svm import measure_svm
from mmbench.transfer.tasks.linear.sweep import measure_sweep


@task("linear", LinearSettings, default_protocol="linear/patterns@2", accepts_pixels=True)
def linear(job: TransferJob, settings: LinearSettings) -> Measurement:
    """Measure a linear classifier on frozen features; that they are frozen is checked in the run."""
    if isinstance(settings, AugmentedProbe):
        return measure_augmented(job, settings)
    if isinstance(settings, SweepProbe):
        return measure_sweep(job, settings)
    if isinstance(settings, SvmProbe):
        return measure_svm(job, settings)
    assert isinstance(settings, CachedProbe)
    return measure_cached(job, settings)
