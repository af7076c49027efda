"""A training that diverged ends with one line of advice instead of a record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from mmbench.errors import UserError
from mmbench.finite import OutputWatch, first_not_finite


@dataclass(frozen=True)
class Divergence:
    """Checks of one training.

    Attributes:
        learning_rate: the protocol's; a tenth of it is the advice.
    """

    task: str
    learning_rate: float

    def error(self, what: str) -> UserError:
        """Return the error that says what is not finite."""
        return UserError(
            f"{self.task} diverged ({what}); lower learning_rate, such as --set "
            f"learning_rate={self.learning_rate / 10:g}, or lengthen warmup_iterations"
        )

    def check_weights(self, model: nn.Module) -> None:
        """Check the weights after the last step, whose effect no loss has shown.

        Raises:
            UserError: one holds a NaN or an infinity.
        """
        if (name := first_not_finite(model.state_dict())) is not None:
            raise self.error(f"{name} is not finite after the last iteration")

    @contextlib.contextmanager
    def watched(self, *modules: nn.Module) -> Iterator[None]:
        """Check what modules return during the evaluation: finite weights may give scores that are not.

        Raises:
            UserError: after the block, if an output held a NaN or an infinity.
        """
        with OutputWatch(*modules) as watch:
            yield
        if watch.met:
            raise self.error("its scores are not finite")
