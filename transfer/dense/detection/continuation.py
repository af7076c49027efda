"""Detectron2's hook that saves the state of a training."""

from __future__ import annotations

from detectron2.engine import HookBase

from mmbench.transfer.dense.common.continuation import Continuation


class SaveState(HookBase):
    """Saves periodically and when a stop is asked for.

    It must come after the hooks that belong to an iteration, such as the learning rate's.
    """

    def __init__(self, continuation: Continuation) -> None:
        self.continuation = continuation

    def after_step(self) -> None:
        """Save where it is due.

        Raises:
            KeyboardInterrupt: a stop was asked for; the state is saved.
            UserError: the disk is full.
        """
        self.continuation.after_step(self.trainer.iter + 1)
