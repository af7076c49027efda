"""Continue an interrupted detection training exactly: what its state holds, and when it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectron2.engine import HookBase

from mmbench.transfer.resume import Unfinished, state_of


class Continuation(HookBase):
    """Saves the training periodically and when it is asked to stop; restores it.

    It must come after the hooks that belong to an iteration, such as the learning rate's.

    Args:
        unfinished: where states are saved.
        parts: what has `state_dict` and `load_state_dict`, by name. The random states are restored last.
    """

    def __init__(self, unfinished: Unfinished, parts: Mapping[str, Any]) -> None:
        self.unfinished, self.parts = unfinished, dict(parts)

    def restore(self) -> int:
        """Restore the newest state, and return how many iterations are done."""
        saved = self.unfinished.restore(self.parts)
        return 0 if saved is None else int(saved["iterations"])

    def state(self) -> dict[str, Any]:
        """Return everything that the next session needs."""
        return {**state_of(self.parts), "iterations": self.trainer.iter + 1}

    def after_step(self) -> None:
        """Save where it is due.

        Raises:
            KeyboardInterrupt: a stop was asked for; the state is saved.
            UserError: the disk is full.
        """
        self.unfinished.after_step(self.trainer.iter + 1, self.state)

    def finish(self) -> None:
        """Obey a stop that came too late for the last iteration.

        Raises:
            KeyboardInterrupt: a stop was asked for; the state is saved.
            UserError: the disk is full.
        """
        iterations = self.trainer.max_iter
        self.unfinished.after_training(iterations, lambda: {**state_of(self.parts), "iterations": iterations})
