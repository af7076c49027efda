"""Losses on normalised embeddings, per sample, so that each sample may have its own weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mmbench.distributed import gather_with_gradient, own_rows


def negative_energy(query: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Return log sum_j exp(query . queue_j / T), shape (B,): all that InfoNCE needs of the negatives.

    Args:
        query: (B, D), unit length.
        queue: (K, D), unit length.
    """
    with torch.autocast(query.device.type, enabled=False):  # similarities need more than bf16's 8 bits
        energy: Tensor = (query @ queue.t()).div_(temperature).logsumexp(1)
    return energy


def info_nce(query: Tensor, key: Tensor, energy: Tensor, temperature: float) -> Tensor:
    """Return InfoNCE per sample, shape (B,): -log(e^p / (e^p + e^energy)) with p = query . key / T.

    Source: van den Oord et al. 2018; MoCo (He et al. 2020), equation 1.

    Args:
        query, key: (B, D), unit length.
        energy: (B,), the negatives of each query (`negative_energy`).
    """
    positive = (query * key).sum(1) / temperature
    return softplus(energy - positive)


def nt_xent(query: Tensor, key: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return NT-Xent's denominators in logarithm, of the queries and of the keys: two times (B,).

    Each of this process's 2 B embeddings is compared with all processes' others, 2 W B - 1; which of them is
    the positive does not matter here. Source: SimCLR (Chen et al. 2020), equation 1.

    Args:
        query, key: (B, D), unit length.
    """
    own = torch.cat([query, key])
    queries, keys = gather_with_gradient(query), gather_with_gradient(key)
    with torch.autocast(query.device.type, enabled=False):
        similarity = (own @ torch.cat([queries, keys]).t()) / temperature
    place = torch.arange(len(queries), device=query.device)  # in the whole batch
    oneself = torch.cat([own_rows(place), own_rows(place) + len(queries)]).unsqueeze(1)
    others = torch.arange(similarity.shape[1], device=query.device)
    similarity = similarity.masked_fill(others == oneself, -torch.inf)
    of_queries, of_keys = similarity.logsumexp(1).chunk(2)
    return of_queries, of_keys


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Return minus the cosine of prediction and target, both (B, D) of unit length: (B,).

    Source: SimSiam (Chen & He 2021), equation 1; BYOL's squared distance is 2 + 2 times it.
    """
    return -(prediction * target).sum(1)
