"""Heads between backbone and loss."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize


def mlp(inputs: int, hidden: int, outputs: int, *, batch_norm: bool = False) -> nn.Sequential:
    """Return a two-layer perceptron.

    Args:
        batch_norm: a batch norm follows the hidden layer and the output has no bias, as in BYOL's code.
    """
    norm: list[nn.Module] = [nn.BatchNorm1d(hidden)] if batch_norm else []
    last = nn.Linear(hidden, outputs, bias=not batch_norm)
    return nn.Sequential(nn.Linear(inputs, hidden), *norm, nn.ReLU(inplace=True), last)


def normed_mlp(inputs: int, outputs: int) -> nn.Sequential:
    """Return SimCLR's head: two layers without bias, each with a batch norm, the last one unshifted."""
    last = nn.BatchNorm1d(outputs)
    last.bias.requires_grad_(False)
    return nn.Sequential(
        nn.Linear(inputs, inputs, bias=False),
        nn.BatchNorm1d(inputs),
        nn.ReLU(inplace=True),
        nn.Linear(inputs, outputs, bias=False),
        last,
    )


def unit(embeddings: Tensor, like: nn.Module) -> Tensor:
    """Return embeddings (B, D) at unit length, in the precision of the module's weights (not autocast's)."""
    return normalize(embeddings.to(next(like.parameters()).dtype))
