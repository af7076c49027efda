"""Task `knn`: weighted nearest neighbours on frozen features; nothing is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.tasks import ON_FEATURES, BoardColumn, checks, task
from mmbench.transfer.tasks.knn.settings import KnnGridSettings, KnnSettings, require_neighbours

if TYPE_CHECKING:
    from mmbench.data import Dataset
    from mmbench.transfer.job import Measurement, TransferJob


@task(
    "knn",
    KnnSettings,
    "knn/patterns@2",
    column=BoardColumn("kNN", order=10),
    metrics=("top1",),
    uses=ON_FEATURES,
    frozen=True,
)
def knn(job: TransferJob, settings: KnnSettings | KnnGridSettings) -> Measurement:
    """Classify the evaluated split by its neighbours in train."""
    from mmbench.transfer.tasks.knn.measure import measure_grid, measure_single

    if isinstance(settings, KnnGridSettings):
        return measure_grid(job, settings)
    return measure_single(job, settings)


@checks("knn")
def check(dataset: Dataset, settings: KnnSettings | KnnGridSettings, labels_file: Path | None) -> None:
    """Check that the splits whose images vote hold as many as are asked for.

    Val is counted where it may vote; where it is evaluated, the task itself refuses what is too much.

    Raises:
        UserError: they hold fewer.
    """
    bank = len(dataset.labels("train"))
    if isinstance(settings, KnnSettings) and settings.neighbours_from == "train and val":
        bank += len(dataset.labels("val"))
    require_neighbours(settings, bank)
