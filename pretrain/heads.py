"""Heads between backbone and loss."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize


def mlp(inputs: int, hidden: int, outputs: int, *, batch_norm: bool = False) -> nn.Sequential:
    """Return a two-layer perceptron; with `batch_norm`, a batch norm follows the hidden layer (BYOL)."""
    norm: list[nn.Module] = [nn.BatchNorm1d(hidden)] if batch_norm else []
    return nn.Sequential(nn.Linear(inputs, hidden), *norm, nn.ReLU(inplace=True), nn.Linear(hidden, outputs))


def unit(embeddings: Tensor, like: nn.Module) -> Tensor:
    """Return embeddings (B, D) at unit length, in the precision of the module's weights (not autocast's)."""
    return normalize(embeddings.to(next(like.parameters()).dtype))
