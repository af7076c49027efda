"""What the solvers of the logistic regression share: the strengths that are tried, and what a record says."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from torch import Tensor

from mmbench.errors import UserError
from mmbench.transfer.probes.refit import StrengthProbe
from mmbench.transfer.probes.selection import Axis, Choice, Model
from mmbench.transfer.tasks.logreg.settings import LogregSettings

UNSEEN = -1e9  # logit of a class without an image to learn from


class LogregProbe(StrengthProbe[Model]):
    """Candidates go from strong to weak, each fitted from where the one before it ended, as in the source."""

    name = "L2 strength"
    digits = ".3g"
    advice = "the fit overflowed; narrow the strengths by --set weakest=0.0001 --set strongest=1000"

    def __init__(self, settings: LogregSettings, classes: int) -> None:
        super().__init__(classes)
        self.settings = settings
        self.strengths = np.geomspace(settings.strongest, settings.weakest, settings.candidates).tolist()

    def axis(self, choice: Choice[float]) -> Axis[float]:
        """Return the strengths; which setting widens them depends on the edge."""
        setting = "strongest" if choice.index == 0 else "weakest"
        return Axis(self.name, setting, self.strengths, float)

    @abstractmethod
    def stopped(self, model: Model) -> str | None:
        """Return a note if the fit ended before it had converged."""

    def notes(self, model: Model) -> list[str]:
        """Return notes about classes without images and about a fit that was stopped."""
        unseen, stopped = self.unseen(model), self.stopped(model)
        found = [] if stopped is None else [stopped]
        if unseen:
            words = "classes have no image to learn from, so the loss says nothing"
            found.insert(0, f"{unseen} of {self.classes} {words}")
        return found


def seen_classes(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the classes (K,) that have an image, and each image's place (N,) among them.

    Raises:
        UserError: all images are of one class.
    """
    seen, targets = labels.unique(return_inverse=True)
    if len(seen) < 2:
        raise UserError(
            f"all {len(labels)} images to learn from are of class {int(labels[0])}; "
            "a logistic regression needs two classes"
        )
    return seen, targets
