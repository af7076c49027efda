"""Settings of the few-label protocols."""

from __future__ import annotations

from typing import Annotated

from mmbench.settings.types import Counts, Factor, Iterations, Within
from mmbench.tasks import TaskSettings


class LowshotSettings(TaskSettings):
    """Settings of the few-label probe.

    Attributes:
        shots: values of k.
        draws: random draws of labelled images for every k; draws of a larger k contain those of a smaller.
        weight_decay: of the logistic regression; fixed, since no labels are left to choose it.
        iterations: most L-BFGS iterations per fit.
    """

    shots: Counts
    draws: Annotated[int, Within(1, 1000)]
    weight_decay: Factor
    iterations: Iterations = 200
