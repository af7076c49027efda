"""Task `knn`: weighted nearest neighbours on frozen features; nothing is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmbench.tasks import ON_FEATURES, BoardColumn, task
from mmbench.transfer.tasks.knn.settings import KnnGridSettings, KnnSettings

if TYPE_CHECKING:
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
