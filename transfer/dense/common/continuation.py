"""Continue an interrupted training exactly: what its state holds, and when it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbench.transfer.resume import Unfinished, state_of


class Continuation:
    """Saves a training periodically and when it is asked to stop; restores it.

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

    def after_step(self, done: int) -> None:
        """Save where it is due; the schedule must have advanced already.

        Args:
            done: iterations that are done.

        Raises:
            KeyboardInterrupt: a stop was asked for; the state is saved.
            UserError: the disk is full.
        """
        self.unfinished.after_step(done, lambda: self._state(done))

    def finish(self, total: int) -> None:
        """Obey a stop that came too late for the last iteration.

        Raises:
            KeyboardInterrupt: a stop was asked for; the state is saved.
            UserError: the disk is full.
        """
        self.unfinished.after_training(total, lambda: self._state(total))

    def _state(self, done: int) -> dict[str, Any]:
        return {**state_of(self.parts), "iterations": done}
