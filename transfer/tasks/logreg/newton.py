"""Logistic regression on frozen features by Newton's method."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmbench.transfer.probes.logistic import Head
from mmbench.transfer.probes.newton import Fit, Newton
from mmbench.transfer.tasks.logreg.settings import LogregSettings
from mmbench.transfer.tasks.logreg.strengths import UNSEEN, LogregProbe, seen_classes


class Solved(NamedTuple):
    """An optimum over the classes (K,) that had an image."""

    fit: Fit
    seen: Tensor


class NewtonProbe(LogregProbe[Solved]):
    """Newton's method, on the device of the run.

    Candidates are solved well enough to be compared; the last fit, until every entry of the gradient is
    within the tolerance.
    """

    def __init__(self, settings: LogregSettings, classes: int, device: torch.device) -> None:
        super().__init__(settings, classes)
        self.device = device if device.type == "cuda" else torch.device("cpu")  # others lack float64
        self.span: Tensor | None = None  # axes (C, R) of the features that are fitted; None where R is C
        self._former: Tensor | None = None  # those before
        self._data: tuple[Tensor, Newton, Tensor] | None = None

    def prepare(self, reference: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return both in float64, less the mean of the first.

        Fewer images than features span a space of fewer dimensions, in which the optimal weights lie: there
        both are given in orthonormal coordinates of it.
        """
        self._data, self._former, self.span = None, self.span, None
        first, second = reference.to(self.device).double(), other.to(self.device).double()
        mean = first.mean(dim=0)
        first, second = first - mean, second - mean
        if len(first) < first.shape[1]:
            self.span = torch.linalg.qr(first.T).Q
            first, second = first @ self.span, second @ self.span
        return first, second

    def _loss(self, features: Tensor, labels: Tensor) -> tuple[Newton, Tensor]:
        """Return the loss of these features, and the classes that have an image."""
        if self._data is None or self._data[0] is not features:
            seen, targets = seen_classes(labels.to(self.device))
            loss = Newton(features, targets, len(seen), self.settings.iterations)
            self._data = features, loss, seen
        return self._data[1:]

    def fit(self, features: Tensor, labels: Tensor, strength: float, start: Solved | None) -> Solved:
        """Return the optimum, well enough to be compared."""
        loss, seen = self._loss(features, labels)
        return Solved(loss.fit(strength, start and start.fit), seen)

    def refit(self, features: Tensor, labels: Tensor, strength: float, start: Solved) -> Solved:
        """Return the optimum within the tolerance."""
        loss, seen = self._loss(features, labels)
        head = start.fit.head  # of other classes where train lacks one, and along other axes
        weight = head.weight if self._former is None else head.weight @ self._former.T
        everything = weight.new_zeros(self.classes, weight.shape[1] + 1)
        everything[start.seen] = torch.cat((weight, head.bias[:, None]), dim=1)
        weight, bias = everything[seen, :-1], everything[seen, -1]
        moved = Head(weight if self.span is None else weight @ self.span, bias)
        return Solved(loss.fit(strength, Fit(moved, (), moved, strength), self.settings.tolerance), seen)

    def scores(self, model: Solved, features: Tensor) -> Tensor:
        """Return logits (N, classes); a class that the fit has not seen gets -1e9."""
        logits = features.new_full((len(features), self.classes), UNSEEN)
        logits[:, model.seen] = model.fit.head.scores(features)
        return logits.cpu()

    def unseen(self, model: Solved) -> int:
        """Return how many classes had no image to learn from."""
        return self.classes - len(model.seen)

    def stopped(self, model: Solved) -> str | None:
        """Return a note if the fit ended before it had converged."""
        if model.fit.head.converged:
            return None
        return (
            f"the last fit was stopped after {model.fit.steps} conjugate-gradient steps, before its optimum"
        )

    def stored(self, model: Solved) -> dict[str, Any]:
        """Return all that the next fit starts from."""
        fit = model.fit
        heads = {name: getattr(fit, name)._asdict() for name in ("head", "basis")}
        numbers = {name: getattr(fit, name) for name in ("factored", "steps", "since")}
        before = [head._asdict() for head in fit.before]
        return {"fit": {**heads, **numbers, "before": before}, "seen": model.seen}

    def restored(self, values: dict[str, Any]) -> Solved:
        """Return it again."""
        fit = values["fit"]
        before = tuple(Head(**head).to(self.device) for head in fit["before"])
        heads = {name: Head(**fit[name]).to(self.device) for name in ("head", "basis")}
        return Solved(Fit(**{**fit, **heads, "before": before}), values["seen"].to(self.device))
