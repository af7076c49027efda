"""Task `knn`: weighted nearest neighbours on frozen features; nothing is trained."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mmbench.data.dataset import Split
from mmbench.errors import UserError
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


def knn_scores(
    queries: Tensor, bank: Tensor, bank_labels: Tensor, classes: int, settings: KnnSettings
) -> Tensor:
    """Return the votes (Q, classes) for queries (Q, C) against a bank (B, C) with labels (B,).

    Every one of the k nearest by cosine similarity votes for its class with weight exp(cosine / T).
    Source: Wu et al. 2018 (instance discrimination), section 3.4.

    Raises:
        UserError: the bank holds fewer than k items.
    """
    if settings.neighbours > len(bank):
        raise UserError(
            f"k={settings.neighbours} neighbours asked for, but the bank holds {len(bank)} images"
        )
    bank = F.normalize(bank, dim=1)
    votes = []
    for chunk in torch.split(F.normalize(queries, dim=1), settings.chunk):
        cosine, index = (chunk @ bank.T).topk(settings.neighbours, dim=1)
        weights = (cosine / settings.temperature).exp()
        votes.append(torch.zeros(len(chunk), classes).scatter_add_(1, bank_labels[index], weights))
    return torch.cat(votes)


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
    scores = knn_scores(queries, bank, train.labels, len(job.dataset.classes), settings)
    job.report(2, 2, "done")
    return Measurement(
        metrics=classification_metrics(scores, test.labels),
        split_sizes={"train": len(train), evaluated: len(test)},
        images_seen=len(train) + len(test),
    )
