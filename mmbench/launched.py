"""What `torchrun` or `accelerate launch` says to the processes that it starts together."""

from __future__ import annotations

import os


def launched_processes() -> int:
    """Return how many processes were started together; 1 where nothing started several."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launched_rank() -> int:
    """Return this process's rank, known before the processes are connected."""
    return int(os.environ.get("RANK", "0"))
