"""Task `retrieval`: how many of an image's nearest training images show its class."""

from __future__ import annotations

from typing import Any

from mmbench.settings.types import Count
from mmbench.tasks import ON_FEATURES, BoardColumn, TaskSettings, task


class RetrievalSettings(TaskSettings):
    """Settings of the retrieval.

    Attributes:
        neighbours: number of images that are retrieved.
    """

    neighbours: Count


@task(
    "retrieval",
    RetrievalSettings,
    "retrieval/nearest@1",
    column=BoardColumn("Retrieval", order=25),
    metrics=("precision",),
    uses=ON_FEATURES,
    frozen=True,
)
def retrieval(job: Any, settings: RetrievalSettings) -> Any:
    """Measure the precision of the nearest training images, in percent."""
    from mmbench.neighbours import nearest  # torch is imported only when the task runs
    from mmbench.records.store import Metric
    from mmbench.transfer.intervals import percent_interval
    from mmbench.transfer.job import Measurement
    from mmbench.transfer.outcomes import image_table

    train, test = job.dataset.labels("train"), job.dataset.labels(job.evaluated)
    _, index = nearest(job.features(job.evaluated), job.features("train"), settings.neighbours)
    right = (train[index] == test[:, None]).double().mean(dim=1).numpy()  # (test images,)
    precision = Metric(
        value=100 * float(right.mean()),
        higher_is_better=True,
        n=len(test),
        interval=percent_interval(100 * right),
    )
    return Measurement(
        metrics={"precision": precision},
        split_sizes={"train": len(train), job.evaluated: len(test)},
        images_seen=len(train) + len(test),
        from_bank=True,
        outcomes=image_table(job, precision=right),
    )
