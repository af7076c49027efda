"""Logistic regression on frozen features by torch's L-BFGS, preconditioned by their covariance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmbench.transfer.probes.logistic import Head, Solver
from mmbench.transfer.tasks.logreg.settings import LogregSettings
from mmbench.transfer.tasks.logreg.strengths import UNSEEN, LogregProbe, seen_classes


def principal_axes(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the axes (C, R) that the features (N, C) span, R = min(N, C), and the variance (R,) along each.

    The axes are orthonormal, so that neither logits nor |weight|^2 change in their coordinates.
    """
    span = torch.eye(features.shape[1], dtype=features.dtype)
    if len(features) < features.shape[1]:  # the optimal weights are sums of features
        span = torch.linalg.qr(features.T).Q
        features = features @ span
    variances, axes = torch.linalg.eigh(features.T @ features / len(features))
    return span @ axes, variances.clamp_min(0)


class LbfgsProbe(LogregProbe[Head]):
    """torch's L-BFGS.

    Candidates are fitted in float32, which is enough to choose; the last fit starts afresh, in float64.
    L-BFGS works on weights divided by the root of a bound on the Hessian (Boehning 1992), which is diagonal
    along the principal axes: weak strengths take far fewer iterations than on the features as they are.
    """

    def __init__(self, settings: LogregSettings, classes: int) -> None:
        super().__init__(settings, classes)
        self.solver = Solver(settings.iterations, settings.tolerance)
        self.axes: Tensor | None = None

    def prepare(self, reference: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return both less the mean of the first, along its principal axes.

        Axes that span all features serve the last fit too: the optimum does not depend on them.
        """
        mean = reference.double().mean(dim=0)
        centred = reference.double() - mean
        if self.axes is None or self.axes.shape[1] < len(self.axes):
            self.axes, self.variances = principal_axes(centred)
        return centred @ self.axes, (other.double() - mean) @ self.axes

    def fit(self, features: Tensor, labels: Tensor, strength: float, start: Head | None) -> Head:
        """Return the optimum in float32."""
        return self._optimum(features.float(), labels, strength, start)

    def refit(self, features: Tensor, labels: Tensor, strength: float, start: Head) -> Head:
        """Return the optimum in float64."""
        return self._optimum(features, labels, strength, None)

    def _optimum(self, features: Tensor, labels: Tensor, strength: float, start: Head | None) -> Head:
        """Return the optimum over the classes that have an image.

        Raises:
            UserError: all images are of one class.
        """
        seen, targets = seen_classes(labels)
        scale = (self.variances / len(seen) + strength).rsqrt().to(features.dtype)
        if start is not None:
            start = Head(start.weight[seen], start.bias[seen])
        found = self.solver.fit(features, targets, len(seen), strength, start, scale)
        weight = found.weight.new_zeros(self.classes, features.shape[1])
        bias = found.bias.new_full((self.classes,), UNSEEN)
        weight[seen], bias[seen] = found.weight, found.bias
        return Head(weight, bias, found.converged)

    def scores(self, model: Head, features: Tensor) -> Tensor:
        """Return logits (N, classes); a class that the fit has not seen gets -1e9."""
        return model.scores(features.to(model.weight.dtype))

    def unseen(self, model: Head) -> int:
        """Return how many classes had no image to learn from."""
        return int((model.bias == UNSEEN).sum())

    def stopped(self, model: Head) -> str | None:
        """Return a note if the fit ended before it had converged."""
        if model.converged:
            return None
        return f"the last fit was stopped after {self.solver.iterations} iterations"

    def stored(self, model: Head) -> dict[str, Any]:
        """Return the classifier."""
        return model._asdict()

    def restored(self, values: dict[str, Any]) -> Head:
        """Return it again."""
        return Head(**values).to("cpu")
