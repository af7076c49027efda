"""Logistic regression on frozen features by scikit-learn's L-BFGS."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn's own dependency
from torch import Tensor

from mmbench.transfer.tasks.logreg.settings import LogregSettings
from mmbench.transfer.tasks.logreg.strengths import UNSEEN, LogregProbe, seen_classes

TOLERANCE = 1e-6
SMALL_PRODUCT = 2e8  # multiplications per L-BFGS iteration: about 10 ms on one core


def fit(
    features: Tensor,
    labels: Tensor,
    strength: float,
    iterations: int,
    start: LogisticRegression | None,
    tolerance: float = TOLERANCE,
) -> tuple[LogisticRegression, bool]:
    """Return scikit-learn's fit and whether it converged; `start` only saves time.

    The loss is mean cross-entropy + strength / 2 * |weight|^2: scikit-learn's C is 1 / (strength x images).
    Of two classes, the weight is that of the second alone, the first has none.

    Args:
        features: (N, C). In float32 a fit is faster, but ends where float32 sees no more progress.
        labels: int64, (N,).
        start: the fit of a similar strength on the same data.

    Raises:
        UserError: all images are of one class.
    """
    classes, _ = seen_classes(labels)
    model = LogisticRegression(
        C=1 / (strength * len(labels)), max_iter=iterations, tol=tolerance, solver="lbfgs", warm_start=True
    )
    if start is not None:
        model.coef_, model.intercept_, model.classes_ = start.coef_, start.intercept_, start.classes_
    # Over a small product, threads wait for each other longer than they work: on two busy cores a fit of
    # 2,000 images took five times as long as on one.
    small = features.numel() * len(classes) < SMALL_PRODUCT
    with threadpool_limits(1 if small else None, "blas"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(features.numpy(), labels.numpy())
    return model, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def scores(model: LogisticRegression, features: Tensor, classes: int) -> Tensor:
    """Return logits (N, classes) float64; a class that the fit has not seen gets -1e9."""
    decision = np.atleast_2d(model.decision_function(features.numpy()))
    if len(model.classes_) == 2:  # scikit-learn gives one column for two classes
        decision = np.stack([np.zeros(decision.size), decision.ravel()], axis=1)
    full = np.full((len(features), classes), UNSEEN)
    full[:, model.classes_] = decision
    return torch.from_numpy(full)


class ScikitLearnProbe(LogregProbe[tuple[LogisticRegression, bool]]):
    """scikit-learn's L-BFGS.

    Candidates are fitted in float32, which is enough to choose; the last fit starts afresh, in float64.
    """

    def __init__(self, settings: LogregSettings, classes: int) -> None:
        super().__init__(settings, classes)
        self.mean: Tensor | None = None

    def prepare(self, reference: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return both less the mean of train, which is the first that is asked for.

        The bias is free, so a shift of all features changes no score; but without their common mean the
        problem is far better conditioned: 1,200 instead of 8,300 iterations on a random ResNet-18.
        """
        self.mean = reference.mean(dim=0) if self.mean is None else self.mean
        return reference - self.mean, other - self.mean

    def fit(
        self,
        features: Tensor,
        labels: Tensor,
        strength: float,
        start: tuple[LogisticRegression, bool] | None,
    ) -> tuple[LogisticRegression, bool]:
        """Return scikit-learn's fit and whether it converged."""
        iterations, tolerance = self.settings.iterations, self.settings.tolerance
        return fit(features, labels, strength, iterations, start and start[0], tolerance)

    def refit(
        self, features: Tensor, labels: Tensor, strength: float, start: tuple[LogisticRegression, bool]
    ) -> tuple[LogisticRegression, bool]:
        """Return the fit in float64, from nowhere."""
        return self.fit(features.double(), labels, strength, None)

    def scores(self, model: tuple[LogisticRegression, bool], features: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        return scores(model[0], features, self.classes)

    def unseen(self, model: tuple[LogisticRegression, bool]) -> int:
        """Return how many classes had no image to learn from."""
        return self.classes - len(model[0].classes_)

    def stopped(self, model: tuple[LogisticRegression, bool]) -> str | None:
        """Return a note if the fit ended before it had converged."""
        if model[1]:
            return None
        return f"the last fit ended after {int(model[0].n_iter_[0])} iterations before it had converged"

    def stored(self, model: tuple[LogisticRegression, bool]) -> dict[str, Any]:
        """Return what the next fit starts from."""
        names = ("coef_", "intercept_", "classes_")
        return {name: torch.from_numpy(getattr(model[0], name)) for name in names}

    def restored(self, values: dict[str, Any]) -> tuple[LogisticRegression, bool]:
        """Return a classifier that only serves as a start."""
        model = LogisticRegression()
        for name, value in values.items():
            setattr(model, name, value.cpu().numpy())
        return model, True
