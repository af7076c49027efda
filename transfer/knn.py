"""Task `knn`: weighted nearest neighbours on frozen features; nothing is trained."""

from __future__ import annotations

from pydantic import Field

from mmbench.data.dataset import Split
from mmbench.neighbours import knn_scores
from mmbench.transfer.accuracy import classification_metrics
from mmbench.transfer.features import extract, is_pixels
from mmbench.transfer.task import Measurement, TaskSettings, TransferJob, task


class KnnSettings(TaskSettings):
    """Settings of the kNN classifier.

    Attributes:
        neighbours: how many vote (k).
        temperature: a vote weighs exp(cosine / temperature).
        chunk: queries that are compared with the bank at a time, to bound the memory.
    """

    neighbours: int = Field(gt=0)
    temperature: float = Field(gt=0)
    chunk: int = Field(default=512, gt=0)


@task("knn", KnnSettings, default_protocol="knn/patterns@1", accepts_pixels=True)
def knn(job: TransferJob, settings: KnnSettings) -> Measurement:
    """Classify the evaluated split by its neighbours in train. Of raw pixels, the mean image is removed."""
    evaluated: Split = job.protocol.split  # type: ignore[assignment]
    train, test = job.dataset.split("train"), job.dataset.split(evaluated)
    job.report(0, 2, "features of train")
    bank = extract(job.backbone, train.images, job.device)
    job.report(1, 2, f"features of {evaluated}")
    queries = extract(job.backbone, test.images, job.device)
    if is_pixels(job.backbone):
        mean = bank.mean(dim=0)
        bank, queries = bank - mean, queries - mean
    scores = knn_scores(
        queries,
        bank,
        train.labels,
        len(job.dataset.classes),
        neighbours=settings.neighbours,
        temperature=settings.temperature,
        chunk=settings.chunk,
    )
    job.report(2, 2, "done")
    return Measurement(
        metrics=classification_metrics(scores, test.labels),
        split_sizes={"train": len(train), evaluated: len(test)},
        images_seen=len(train) + len(test),
    )
