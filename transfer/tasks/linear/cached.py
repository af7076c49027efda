"""The linear probe on features taken once: multinomial logistic regression at its optimum."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmbench.transfer.probes.logistic import Head, Solver, standardise
from mmbench.transfer.probes.refit import StrengthProbe
from mmbench.transfer.probes.selection import Axis, Choice
from mmbench.transfer.tasks.linear.settings import CachedProbe


class WeightDecayProbe(StrengthProbe[Head]):
    """Standardised features; every fit starts from the one before it, the last from the chosen one."""

    name = "weight decay"
    advice = "the fit overflowed; give stronger decays by --set weight_decays=[1.0,0.1,0.01]"

    def __init__(self, settings: CachedProbe, classes: int) -> None:
        super().__init__(classes)
        self.solver = Solver(settings.iterations, settings.tolerance)
        self.strengths = sorted(settings.weight_decays, reverse=True)
        self.patience = settings.patience

    def prepare(self, reference: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return both standardised by the first."""
        first, second = standardise(reference, other)
        return first, second

    def fit(self, features: Tensor, labels: Tensor, strength: float, start: Head | None) -> Head:
        """Return the optimum."""
        return self.solver.fit(features, labels, self.classes, strength, start)

    def scores(self, model: Head, features: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        return model.scores(features)

    def axis(self, choice: Choice[float]) -> Axis[float]:
        """Return the weight decays; none is weaker than 0."""
        return Axis(self.name, "weight_decays", self.strengths, float, least=0)

    def notes(self, model: Head) -> list[str]:
        """Return a note if the last fit was stopped."""
        stopped = f"the last fit was stopped after {self.solver.iterations} iterations"
        return [] if model.converged else [stopped]

    def stored(self, model: Head) -> dict[str, Any]:
        """Return the classifier."""
        return model._asdict()

    def restored(self, values: dict[str, Any]) -> Head:
        """Return it again."""
        return Head(**values).to("cpu")
