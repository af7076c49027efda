"""Contrastive losses on normalised embeddings, per sample, so that each sample may have its own weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


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


def mixed_info_nce(
    mixed: Tensor, key: Tensor, energy: Tensor, lam: Tensor, partner: Tensor, temperature: float
) -> Tensor:
    """Return MixMask's asymmetric loss of mixed queries, averaged over the batch: a scalar.

    lam * NCE(q_mix, k) + (1 - lam) * NCE(P^-1(q_mix), k), with one lam per sample.
    Row partner[i] of P^-1(q_mix) is q_mix[i]. Taken in the order of i, its positive is k[partner[i]], its
    negatives are those of q_mix[i] and its weight is 1 - lam[i]: no second pass over the queue.
    Source: MixMask, arXiv 2210.11456, equation of the flexible loss; released code at 392a0e7.

    Args:
        mixed, key: (B, D), unit length.
        energy: (B,), the negatives of each mixed query.
        lam: (B,), share of own pixels.
        partner: (B,), permutation: mixed[i] holds pixels of image partner[i].
    """
    own = info_nce(mixed, key, energy, temperature)
    swapped = info_nce(mixed, key[partner], energy, temperature)
    return (lam * own + (1 - lam) * swapped).mean()
