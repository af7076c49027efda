"""Task `semisup`: finetune every layer on a class-balanced share of the labels, or on an official list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.tasks import ON_FEATURES, BoardColumn, checks, task
from mmbench.transfer.tasks.semisup.settings import SemisupSettings

if TYPE_CHECKING:
    from mmbench.data import Dataset
    from mmbench.transfer.job import Measurement, TransferJob


def _share(config: Mapping[str, Any]) -> tuple[str, float]:
    """Return a column per share of the labels."""
    if "fraction" not in config:
        return "Semi-supervised", 0.0
    percent = 100 * float(config["fraction"])
    return f"{percent:g}% labels", percent


@task(
    "semisup",
    SemisupSettings,
    "semisup/patterns-1pct@2",
    column=BoardColumn("Semi-supervised", order=50, variant=_share),
    metrics=("top1",),
    uses=(*ON_FEATURES, "labels_file"),
)
def semisup(job: TransferJob, settings: SemisupSettings) -> Measurement:
    """Draw the labelled subset by the job's seed, finetune, measure once on the evaluated split."""
    from mmbench.transfer.tasks.semisup.measure import measure

    return measure(job, settings)


@checks("semisup")
def check(dataset: Dataset, settings: SemisupSettings, labels_file: Path | None) -> None:
    """Check that a draw, or the list of labelled images, leaves every class an image.

    Raises:
        UserError: it does not; a list that cannot be used.
    """
    from mmbench.data.subsets import require_share
    from mmbench.transfer.inputs.labels import require_listed

    if dataset.multilabel:
        return
    if labels_file is None:
        require_share(dataset.labels("train"), settings.fraction, dataset.classes)
    elif labels_file.is_file():  # the run says it where there is none
        require_listed(dataset, labels_file)
