"""One linear dense probe from an encoder to numbers."""

from __future__ import annotations

from torch import Tensor

from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.probes.evaluation import evaluate, measurement
from mmbench.transfer.dense.probes.linear_settings import LinearProbeSettings
from mmbench.transfer.dense.probes.preparation import prepared
from mmbench.transfer.dense.probes.training import LOSSES_FILE, plan_of, train
from mmbench.transfer.job import Measurement, TransferJob


def linear_probe(job: TransferJob, settings: LinearProbeSettings) -> Measurement:
    """Train a linear classifier of the positions of frozen maps, and measure it on the protocol's split.

    Processes that work together share every batch and the evaluated images.

    Raises:
        UserError: the images or the encoder do not fit, or the training diverged.
        KeyboardInterrupt: the run was asked to stop; its state is saved.
    """
    ready = prepared(job, settings)
    plan = plan_of(ready, settings)
    head, trained = train(job, ready, settings)

    def classify(maps: Tensor) -> Tensor:
        found: Tensor = head(maps)
        return found

    with Divergence("the dense probe", settings.learning_rate).watched(head):
        outcomes = evaluate(job, ready, classify)
    once = settings.augmentation == "none"
    images = len(ready.train)
    seen = images if once else settings.batch_size * settings.steps(images)
    return measurement(
        job,
        ready,
        outcomes,
        notes=(*plan, *trained),
        effective_lr=settings.learning_rate,
        images_seen=seen,
        from_bank=once,
        losses=job.work / LOSSES_FILE,
    )
