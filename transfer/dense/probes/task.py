"""Task `dense`: a probe on the feature maps of a frozen encoder, scored by the pixels of label maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmbench.tasks import ANY_DATA, BoardColumn, prepares, task
from mmbench.transfer.dense.probes.linear_settings import LinearProbeSettings
from mmbench.transfer.dense.probes.retrieval_settings import RetrievalSettings
from mmbench.transfer.dense.probes.settings import DenseProbeSettings

if TYPE_CHECKING:
    from mmbench.transfer.job import Measurement, TransferJob


def _column(config: Mapping[str, Any]) -> tuple[str, float]:
    """Return heading and position of a record: probes measure different things."""
    return ("Dense retrieval", 1.0) if config.get("probe") == "retrieval" else ("Dense linear", 0.0)


@prepares("dense")
def dry_run(job: TransferJob, settings: DenseProbeSettings) -> list[str]:
    """Check the images and the encoder, and feed it once; see `prepares`.

    Raises:
        UserError: the images or the encoder do not fit the probe.
    """
    from mmbench.transfer.dense.probes.dry_run import dry_run_lines

    return dry_run_lines(job, settings)


@task(
    "dense",
    DenseProbeSettings,
    {
        ANY_DATA: "dense/own@1",
        "patterns": "dense/patterns@1",
        "voc12aug": "dense/linear-leopart@1",
        "ade20k": "dense/linear-dinov3@1",
    },
    column=BoardColumn("Dense probe", order=65, variant=_column),
    metrics=("mIoU", "mAcc", "aAcc"),
    uses=("bank", "precision", "workers", "work"),
    frozen=True,
    data="label maps",
)
def dense(job: TransferJob, settings: DenseProbeSettings) -> Measurement:
    """Fit a probe on the feature maps of the training images, and score its predictions.

    Raises:
        UserError: the images do not fit, the encoder gives no feature maps, or the training diverged.
    """
    if isinstance(settings, RetrievalSettings):
        from mmbench.transfer.dense.probes.retrieval_run import retrieval_probe

        return retrieval_probe(job, settings)
    assert isinstance(settings, LinearProbeSettings)
    from mmbench.transfer.dense.probes.run import linear_probe

    return linear_probe(job, settings)
