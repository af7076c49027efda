"""Multinomial logistic regression at its optimum, by torch's L-BFGS."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

L_BFGS_HISTORY = 20


class Head(NamedTuple):
    """A linear classifier: weight (classes, C), bias (classes,).

    Attributes:
        converged: whether every entry of the gradient is within the tolerance.
    """

    weight: Tensor
    bias: Tensor
    converged: bool = True

    def scores(self, features: Tensor) -> Tensor:
        """Return logits (N, classes) of features (N, C)."""
        return F.linear(features, self.weight, self.bias)

    def to(self, device: torch.device | str) -> Head:
        """Return it on another device."""
        return Head(self.weight.to(device), self.bias.to(device), self.converged)


class Solver(NamedTuple):
    """When a fit ends.

    Attributes:
        iterations: most L-BFGS iterations.
        tolerance: a fit ends when the largest gradient entry is below it.
    """

    iterations: int
    tolerance: float

    def fit(
        self,
        features: Tensor,
        labels: Tensor,
        classes: int,
        weight_decay: float,
        start: Head | None = None,
        scale: Tensor | None = None,
    ) -> Head:
        """Return the classifier that minimises the regularised multinomial loss.

        The loss is mean cross-entropy + weight_decay / 2 * |weight|^2; the bias is free. It is convex, so
        the result depends neither on a seed nor on a learning rate, and `start` only saves time.

        Args:
            features: (N, C), float32; float64 where the optimum is wanted to more than about 1e-4.
            labels: int64, (N,).
            classes: their number; those without an image get a low score.
            weight_decay: see above.
            start: the fit of a similar decay on similar features.
            scale: (C,), of the coordinates in which L-BFGS works: weight / scale. The optimum is the same;
                the tolerance is that of the gradient in these coordinates.
        """
        width = features.shape[1]
        weight = torch.zeros(classes, width, dtype=features.dtype) if start is None else start.weight.clone()
        bias = torch.zeros(classes, dtype=features.dtype) if start is None else start.bias.clone()
        if scale is not None:
            weight /= scale
        optimiser = torch.optim.LBFGS(
            [weight.requires_grad_(), bias.requires_grad_()],
            max_iter=self.iterations,
            max_eval=2 * self.iterations,
            tolerance_grad=self.tolerance,
            tolerance_change=1e-14,  # a small step does not end a fit, only a loss that no longer changes
            history_size=L_BFGS_HISTORY,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimiser.zero_grad()
            scaled = weight if scale is None else weight * scale
            loss = F.cross_entropy(F.linear(features, scaled, bias), labels)
            loss = loss + weight_decay / 2 * scaled.square().sum()
            loss.backward()
            return loss

        optimiser.step(closure)
        closure()
        assert weight.grad is not None and bias.grad is not None
        steepest = max(float(weight.grad.abs().max()), float(bias.grad.abs().max()))
        found = weight.detach() if scale is None else weight.detach() * scale
        return Head(found, bias.detach(), converged=steepest <= self.tolerance)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (C,) float32 of features (N, C), which are read piece by piece."""
    count, width = features.shape
    total, squares = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    for part in torch.split(features, 16384):
        total += part.double().sum(dim=0)
    mean = total / count
    for part in torch.split(features, 16384):
        squares += (part.double() - mean).square().sum(dim=0)
    return mean.float(), (squares / max(1, count - 1)).sqrt().clamp_min(1e-6).float()


def standardise(reference: Tensor, *others: Tensor) -> list[Tensor]:
    """Return all tensors (N, C) shifted and scaled by the mean and deviation of the first."""
    mean, deviation = moments(reference)
    return [(features - mean) / deviation for features in (reference, *others)]
