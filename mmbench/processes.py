"""Processes: how many workers, ending them with their parent, and whether a recorded one still lives."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # linux/proc_ns.h, PROC_PID_INIT_INO
AHEAD = 4  # jobs that are given out per process before their results are taken
Job = TypeVar("Job")
Found = TypeVar("Found")


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """End this worker as soon as its parent has ended, for whatever reason (an initialiser of pools)."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def in_order(function: Callable[[Job], Found], jobs: Iterable[Job], processes: int) -> Iterator[Found]:
    """Yield what `function` returns for each job, in order, computed ahead by spawned processes.

    Few results wait at a time, however many jobs there are. One process means this one.

    Args:
        function: of a module, so that it can be imported by the processes.
    """
    if processes <= 1:
        yield from map(function, jobs)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin_worker)
    waiting: deque[Future[Found]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(function, job))
            if len(waiting) > AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Leave Ctrl-C, which reaches every process, to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


@functools.cache
def host_name() -> str:
    """Return the name of this host; in a container with its PID namespace, as ids differ between those."""
    name = socket.gethostname() or "localhost"
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return name
    return name if namespace == INITIAL_PID_NAMESPACE else f"{name}-{namespace:x}"


def began(pid: int) -> str | None:
    """Return when a process of this host began: with its id, no other process ever has the same.

    None if there is no such process, or only what a process leaves until its parent asks after it.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return None if Path("/proc/self/stat").exists() else _began_elsewhere(pid)
    return None if state in (b"Z", b"X") else f"{_boot()}-{int(fields[18])}"


@functools.cache
def _boot() -> str:
    """Return a few digits that differ between the boots of this host, where they can be read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "boot"


def _began_elsewhere(pid: int) -> str | None:
    """Return the same on a system without /proc."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.Error:
        return None


def is_alive(pid: int, start: str) -> bool:
    """Return whether the process of this host with this id is still the one that began at `start`."""
    return began(pid) == start
