"""Task `logreg`: logistic regression on frozen features, its L2 strength chosen on val."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.tasks import ON_FEATURES, BoardColumn, task
from mmbench.transfer.tasks.logreg.settings import LogregSettings, TorchLogregSettings

if TYPE_CHECKING:
    from mmbench.transfer.job import Measurement, TransferJob


@task(
    "logreg",
    LogregSettings,
    "logreg/lbfgs@4",
    column=BoardColumn("Logistic regression", order=30),
    metrics=("top1",),
    uses=ON_FEATURES,
    frozen=True,
)
def logreg(job: TransferJob, settings: LogregSettings) -> Measurement:
    """Choose the strength on val, refit on train and val, measure once on the evaluated split."""
    classes = len(job.dataset.classes)
    if isinstance(settings, TorchLogregSettings) and settings.solver == "newton":
        from mmbench.transfer.tasks.logreg.newton import NewtonProbe

        return NewtonProbe(settings, classes, job.device).measure(job)
    if isinstance(settings, TorchLogregSettings):
        from mmbench.transfer.tasks.logreg.lbfgs import LbfgsProbe

        return LbfgsProbe(settings, classes).measure(job)
    from mmbench.transfer.tasks.logreg.scikit_learn import ScikitLearnProbe

    return ScikitLearnProbe(settings, classes).measure(job)
