"""What `torchrun` or `accelerate launch` says to the processes that it starts together, and nobody else.

It is said in environment variables, which stay set where a shell or a batch script exported them. A rank
counts only where `WORLD_SIZE` is above 1.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from mmbench.errors import UserError, shown

# What Accelerate reads besides: settings of its own, and the variables of MPI's launchers. Neither counts.
FOREIGN = ("ACCELERATE_", "PMI_", "OMPI_COMM_WORLD_", "MV2_COMM_WORLD_", "MPI_LOCAL")
OF_LAUNCHERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
ALONE = "for one process alone, `unset WORLD_SIZE`"
TOGETHER = "start several by `torchrun --nproc-per-node N -m mmbench ...`"
LARGEST_WORLD, LARGEST_PORT = 2**20, 2**16 - 1


class MeetingPlace(NamedTuple):
    """Where the processes that were started together meet: at the first one, or at torchrun's agent."""

    host: str
    port: int


def launched_processes() -> int:
    """Return how many processes were started together; 1 where nothing started several.

    Raises:
        UserError: WORLD_SIZE is no number of processes.
    """
    return _number("WORLD_SIZE", 1, LARGEST_WORLD) if "WORLD_SIZE" in os.environ else 1


def launched_rank() -> int:
    """Return this process's rank, known before the processes are connected; 0 of one process.

    Raises:
        UserError: WORLD_SIZE is no number of processes, or RANK is none of their ranks.
    """
    processes = launched_processes()
    return 0 if processes == 1 else _number("RANK", 0, processes - 1)


def launched_here(usual: int) -> int:
    """Return how many of several processes are on this machine; `usual` where nothing says it.

    Raises:
        UserError: LOCAL_WORLD_SIZE is no number of processes.
    """
    several = launched_processes() > 1 and "LOCAL_WORLD_SIZE" in os.environ
    return _number("LOCAL_WORLD_SIZE", 1, launched_processes()) if several else usual


def meeting_place() -> MeetingPlace:
    """Return where the processes meet.

    Raises:
        UserError: a variable that `torchrun` sets is missing or no number.
    """
    launched_rank()
    _number("LOCAL_RANK", 0, launched_processes() - 1)
    return MeetingPlace(_text("MASTER_ADDR"), _number("MASTER_PORT", 1, LARGEST_PORT))


@contextlib.contextmanager
def without_foreign_variables(**ours: str) -> Iterator[None]:
    """Hide from Accelerate what others left in the environment, and show it variables of ours instead.

    In one process those of launchers are hidden too.
    """
    names = OF_LAUNCHERS if launched_processes() == 1 else ()
    hidden = {name for name in os.environ if name.startswith(FOREIGN) or name in names}
    before = {name: os.environ.pop(name) for name in hidden}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
        os.environ.update(before)


def _text(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        processes = launched_processes()
        raise UserError(f"WORLD_SIZE is {processes}, but {name} is not set; {TOGETHER}, or {ALONE}")
    return value


def _number(name: str, least: int, most: int) -> int:
    """Return the whole number of a variable.

    Raises:
        UserError: it is missing, no number, or not from `least` to `most`.
    """
    if name not in os.environ:
        _text(name)
    value = os.environ[name].strip()
    if not (value.isascii() and value.isdigit()) or not least <= int(value[:20]) <= most:
        raise UserError(
            f"the environment variable {name} is {shown(os.environ[name])}, and must be a whole number from "
            f"{least} to {most}; {TOGETHER}, or {ALONE}"
        )
    return int(value)
