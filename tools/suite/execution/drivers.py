"""Drivers: the processes that run a suite, each with a file in its folder that says so while it lives.

Everything that a driver starts has the path of that file in its environment. So what a killed driver left can
be found and stopped, and each process that it started can tell whether it is still wanted: the driver removes
the file when it asks for a stop.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmbench.files import write_json
from mmbench.processes import began, host_name, is_alive
from mmbench.tools.suite.folder import SuiteFolder

if TYPE_CHECKING:
    import psutil

VARIABLE = "MMBENCH_SUITE_DRIVER"
BEAT_SECONDS = 5.0
SILENT_SECONDS = 120.0  # of a driver on another host; a shared file system may show changes a minute late
STOP_SECONDS = 20.0
STARTING_SECONDS = 0.2
SEPARATOR = "@"

Wish = Literal["go on", "stop", "gone"]


class Driver:
    """This process as the driver of a suite: its file, touched regularly until `close`."""

    def __init__(self, folder: SuiteFolder) -> None:
        self._jobs: list[str] = []
        name = SEPARATOR.join((_named(host_name()), str(os.getpid()), began(os.getpid()) or "unknown"))
        self.path = folder.drivers.absolute() / f"{name}.json"
        self._closed = threading.Event()
        self._write()
        threading.Thread(target=self._beat, daemon=True, name="suite-driver-beat").start()

    def add_job(self, job: str) -> None:
        """Record a job that was submitted to Slurm."""
        self._jobs.append(job)
        with contextlib.suppress(OSError):  # on a full disk; pilot jobs notice by themselves that we are gone
            self._write()

    def ask_to_stop(self) -> None:
        """Make everything that this driver started save and stop."""
        self._closed.set()
        self.path.unlink(missing_ok=True)

    close = ask_to_stop

    def _write(self) -> None:
        if not self._closed.is_set():
            write_json(self.path, {"host": host_name(), "pid": os.getpid(), "jobs": self._jobs})

    def _beat(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            with contextlib.suppress(OSError):  # touching a file works on a full disk too
                os.utime(self.path)


class DriverWatch:
    """What a process that a driver started knows of it.

    Args:
        path: of the driver's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.here, self._pid, self._start = _owner(path)
        self._changed: tuple[int, float] = (0, time.monotonic())
        self._missing = 0

    def wish(self) -> Wish:
        """Return whether to go on, to stop because the driver asks for it, or because it is gone."""
        if self.here and not is_alive(self._pid, self._start):
            return "gone"
        try:
            touched = self.path.stat().st_mtime_ns
        except OSError:
            self._missing += 1
            return "stop" if self._missing > 1 else "go on"  # once may be a hiccup of a shared file system
        self._missing = 0
        if touched != self._changed[0]:
            self._changed = (touched, time.monotonic())
        silent = time.monotonic() - self._changed[1] > SILENT_SECONDS
        return "gone" if silent and not self.here else "go on"


def _named(host: str) -> str:
    """Return a host's name for the name of a file."""
    return "".join(letter if letter.isalnum() or letter in ".-" else "-" for letter in host)[:100]


def _owner(path: Path) -> tuple[bool, int, str]:
    """Return of a driver's file: whether it is of this host, its process, and when that began."""
    host, _, rest = path.stem.partition(SEPARATOR)
    pid, _, start = rest.partition(SEPARATOR)
    return host == _named(host_name()), int(pid) if pid.isdecimal() else 0, start


def stop_what_dead_drivers_left(folder: SuiteFolder, say: Callable[[str], None]) -> None:
    """Stop the processes and cancel the jobs of drivers that are gone, and remove their files.

    Processes of another host end themselves. They hold the locks of their cells until then.
    """
    alive = living(folder)
    for path in sorted(folder.drivers.absolute().glob("*.json")):
        if path in alive:
            continue
        stopped = stop_processes(path) if _owner(path)[0] else 0
        cancelled = _cancel(_jobs(path))
        path.unlink(missing_ok=True)
        if stopped or cancelled:
            say(
                f"an earlier run of this suite was killed: stopped {stopped} processes and cancelled "
                f"{cancelled} jobs that it left"
            )


def living(folder: SuiteFolder) -> set[Path]:
    """Return the files of the drivers that live."""
    found = set()
    for path in folder.drivers.absolute().glob("*.json"):
        here, pid, start = _owner(path)
        if is_alive(pid, start) if here else _touched_lately(path):
            found.add(path)
    return found


def _touched_lately(path: Path) -> bool:
    """Return whether a file was changed lately by the clock of its file system."""
    mark = path.with_name(f".now-{os.getpid()}")
    try:
        mark.touch()
        now = mark.stat().st_mtime
        mark.unlink(missing_ok=True)
        return now - path.stat().st_mtime < SILENT_SECONDS
    except OSError:
        return path.exists()


def _jobs(path: Path) -> list[str]:
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))["jobs"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [str(job) for job in jobs if str(job).isalnum()]


def _cancel(jobs: list[str]) -> int:
    """Cancel jobs of Slurm; return how many."""
    if not jobs or shutil.which("scancel") is None:
        return 0
    answer = subprocess.run(["scancel", *jobs], capture_output=True, check=False, timeout=60)
    return len(jobs) if answer.returncode == 0 else 0


def processes_of(mark: Path, variable: str = VARIABLE) -> list[int]:
    """Return the living processes of this host that a driver started, or whatever else marks them.

    Args:
        mark: value of the environment variable; of a driver, the path of its file.
    """
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and _environment(process).get(variable) == str(mark):
                found.append(process.pid)
    return [pid for pid in found if began(pid) is not None]


def _environment(process: psutil.Process) -> dict[str, str]:
    """Return the environment of a process.

    Linux shows none while `exec` replaces a program by another, which may go on after `Popen` returns. So a
    program without one is looked at again. Zombies and threads of the kernel are not programs.
    """
    deadline = time.monotonic() + STARTING_SECONDS
    environment: dict[str, str] = process.environ()
    while not environment and process.exe() and time.monotonic() < deadline:
        time.sleep(0.005)
        environment = process.environ()
    return environment


def stop_processes(mark: Path, patience: float = STOP_SECONDS, variable: str = VARIABLE) -> int:
    """Stop what a driver started on this host: trainings save; what is left after a while is killed.

    See `processes_of` for what else can be stopped.

    One SIGTERM each: processes that read images for a training take a second one for the end.

    Returns:
        How many processes there were.
    """
    first = processes_of(mark, variable)
    _signal(first, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while left := processes_of(mark, variable):
        if time.monotonic() > deadline + patience:
            break  # the kernel does not let go of them
        if time.monotonic() > deadline:
            _signal(left, signal.SIGKILL)
        time.sleep(0.1)
    return len(first)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)
