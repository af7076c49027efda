"""Settings of the logistic-regression protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ValidationInfo, field_validator

from mmbench.settings.types import Iterations, Positive, Tolerance, Within
from mmbench.tasks import TaskSettings


class LogregSettings(TaskSettings):
    """Settings of the logistic regression; without `solver`, that of scikit-learn as in versions 1 and 2.

    Attributes:
        candidates: how many values of the L2 strength are tried, evenly spaced in their logarithm.
        weakest, strongest: ends of that range; strength multiplies |weight|^2 / 2 beside the mean loss.
        iterations: most L-BFGS iterations per fit.
        tolerance: a fit ends when the largest gradient entry falls below it. At scikit-learn's default of
            1e-4 it would not move any more at strengths below about 1e-4, and many candidates would be one.
    """

    candidates: Annotated[int, Within(1, 1000)]
    weakest: Positive
    strongest: Positive
    iterations: Iterations = 1000
    tolerance: Tolerance = 1e-6

    @field_validator("strongest")
    @classmethod
    def _is_the_upper_end(cls, value: float, others: ValidationInfo) -> float:
        if value < others.data.get("weakest", 0.0):
            raise ValueError(f"must not be less than weakest ({others.data['weakest']:g}); set both")
        return value

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the settings of the solver."""
        return TorchLogregSettings if "solver" in values else cls


class TorchLogregSettings(LogregSettings):
    """Settings of the logistic regression by a solver in torch.

    Attributes:
        solver: "torch": L-BFGS; "newton": Newton's method, of which `iterations` are the steps of conjugate
            gradients, and the last fit alone is to the tolerance.
    """

    solver: Literal["torch", "newton"]
