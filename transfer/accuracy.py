"""Classification metrics, in percent."""

from __future__ import annotations

import torch
from torch import Tensor

from mmbench.results import Metric


def classification_metrics(scores: Tensor, labels: Tensor) -> dict[str, Metric]:
    """Return top1, top5 (where there are more than five classes) and mean_per_class.

    Args:
        scores: (N, classes), larger is better.
        labels: (N,) int64.
    """
    count, classes = scores.shape
    ranked = scores.argsort(dim=1, descending=True, stable=True)
    hits = ranked == labels[:, None]
    per_class = [float(hits[labels == label, 0].float().mean()) for label in torch.unique(labels).tolist()]
    shares = {
        "top1": float(hits[:, 0].float().mean()),
        "mean_per_class": sum(per_class) / len(per_class),
    }
    if classes > 5:
        shares["top5"] = float(hits[:, :5].any(dim=1).float().mean())
    return {name: Metric(value=100 * share, higher_is_better=True, n=count) for name, share in shares.items()}
