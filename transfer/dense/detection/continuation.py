"""Continue an interrupted detection training exactly: what its state holds, and when it is saved."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.utils import comm

from mmbench.distributed import process_count, process_rank
from mmbench.transfer.resume import Unfinished, state_of


class Randomness:
    """The random states of every process: of Python, NumPy, torch, and torch on the GPU.

    Args:
        device: of the training.
        notes: takes a line where a state cannot be taken over exactly.
    """

    def __init__(self, device: torch.device, notes: list[str]) -> None:
        self.device, self.notes = device, notes

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all processes; all of them must call it."""
        own: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
        kind, words, *rest = np.random.get_state()
        own["numpy"] = [kind, torch.from_numpy(np.asarray(words).astype(np.int64)), *rest]
        if self.device.type == "cuda":
            own["cuda"] = torch.cuda.get_rng_state(self.device)
        return {"processes": comm.all_gather(own)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take this process's state over; with another number of processes, go on from the present one."""
        saved = state["processes"]
        if len(saved) != process_count():
            self.notes.append(
                f"continued by {process_count()} processes after {len(saved)}: from there on other proposals "
                "were drawn than without the interruption"
            )
            return
        own = saved[process_rank()]
        torch.set_rng_state(own["torch"].cpu())
        version, words, gauss = own["python"]
        random.setstate((version, tuple(words), gauss))
        kind, numbers, *rest = own["numpy"]
        np.random.set_state((kind, numbers.cpu().numpy().astype(np.uint32), *rest))
        if self.device.type == "cuda" and "cuda" in own:
            torch.cuda.set_rng_state(own["cuda"].cpu(), self.device)


class Counted:
    """The number of the next batch as a part of the state.

    Args:
        loader: has a `position`.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def state_dict(self) -> dict[str, int]:
        """Return the position."""
        return {"position": self.loader.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin at this batch."""
        self.loader.position = state["position"]


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
