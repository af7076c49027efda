"""Task `retrieval`: whether the nearest other image of the evaluated split is of the same class."""

from __future__ import annotations

from torch.nn import functional as F

from mmbench.results import Metric
from mmbench.settings_types import Count
from mmbench.tasks import ON_FEATURES, BoardColumn, TaskSettings, task
from mmbench.transfer.job import Measurement, TransferJob


class RetrievalSettings(TaskSettings):
    """Settings of the retrieval.

    Attributes:
        nearest: images that are looked at.
    """

    nearest: Count


@task(
    "retrieval",
    RetrievalSettings,
    "retrieval/nearest@1",
    column=BoardColumn("Retrieval", order=15),
    metrics=("recall",),
    uses=ON_FEATURES,
    frozen=True,
)
def retrieval(job: TransferJob, settings: RetrievalSettings) -> Measurement:
    """Measure recall@k by cosine similarity, in percent."""
    features = F.normalize(job.features(job.evaluated).float(), dim=1)
    labels = job.dataset.labels(job.evaluated)
    similarity = (features @ features.T).fill_diagonal_(-2)
    nearest = similarity.topk(settings.nearest, dim=1).indices
    hits = (labels[nearest] == labels[:, None]).any(dim=1)
    recall = Metric(value=100 * float(hits.double().mean()), higher_is_better=True, n=len(labels))
    return Measurement(
        metrics={"recall": recall},
        split_sizes={job.evaluated: len(labels)},
        images_seen=len(labels),
        from_bank=True,
    )
