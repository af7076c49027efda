"""Dense trainings in several processes: averaged gradients, folders, seeds and random states."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmbench.distributed import process_count, process_rank


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def seed_process(seed: int) -> None:
    """Let every process but the first draw anew, such as the dropout of its own images."""
    if process_rank() > 0:
        torch.manual_seed((seed + process_rank()) % 2**63)


def own_folder(work: Path) -> Path:
    """Return a folder for this process alone; that of the first process is `work` itself."""
    folder = work if process_rank() == 0 else work / f"process-{process_rank()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
        return {"processes": gathered(own)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take this process's state over; with another number of processes, go on from the present one."""
        saved = state["processes"]
        if len(saved) != process_count():
            self.notes.append(
                f"continued by {process_count()} processes after {len(saved)}: from there on other random "
                "numbers were drawn than without the interruption"
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


def gathered(own: Any) -> list[Any]:
    """Return the object of every process, in the order of their ranks."""
    found = [own] * process_count()
    if process_count() > 1:
        torch.distributed.all_gather_object(found, own)
    return found
