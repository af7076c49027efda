"""Follow a run folder: its training states, each kept from being deleted until it was measured."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mmbench.errors import UserError
from mmbench.runs import RunFolder, read_settings


@dataclass(frozen=True)
class FoundState:
    """A training state that was found, and the link to it that outlives it."""

    step: int
    path: Path


def is_running(folder: RunFolder) -> bool:
    """Return whether a process trains in the folder, which it then holds the lock of."""
    try:
        handle = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return not folder.finished
    finally:
        os.close(handle)
    return False


def settings_of_run(folder: RunFolder) -> dict[str, Any]:
    """Return the settings of a run.

    Raises:
        UserError: it is not a run folder, or its settings are damaged.
    """
    if not folder.settings.is_file():
        raise UserError(
            f"{folder.root} is not a run folder (it has no {folder.settings.name}); name the --out of "
            "`mmbench pretrain`, once it has started"
        )
    return read_settings(folder.settings)


class Follower:
    """Links every training state of a run that it sees into a folder of its own, in which it stays.

    Runs keep the newest few states only, and probes may take longer than epochs. The folder repeats what a
    state needs of its run, so that it is read as one of that run.

    Args:
        folder: the run.
        mirror: a new folder, best on the run's disk: there a link takes no room, elsewhere it is a copy.
        pause: seconds between two looks.
    """

    def __init__(self, folder: RunFolder, mirror: Path, pause: float) -> None:
        self.folder, self.mirror, self.pause = folder, RunFolder(mirror), pause
        self.seen: set[int] = set()
        self._found: queue.SimpleQueue[FoundState | BaseException | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self.mirror.training.mkdir(parents=True)
        shutil.copyfile(folder.settings, self.mirror.settings)

    def look(self) -> None:
        """Link the states that were not seen before, the oldest first."""
        for path in reversed(self.folder.state_paths()):
            number = path.stem.removeprefix("step-")
            if not number.isdecimal() or int(number) in self.seen:
                continue
            place = self.mirror.training / path.name
            try:
                try:
                    place.hardlink_to(path)
                except FileNotFoundError:
                    raise
                except OSError:  # another disk, or one without links
                    shutil.copyfile(path, place)
            except FileNotFoundError:
                continue  # deleted in between, as `missing` will say
            self.seen.add(int(number))
            self._found.put(FoundState(int(number), place))

    def _follow(self) -> None:
        try:
            running = True
            while running and not self._stop.is_set():
                running = is_running(self.folder)  # before the look, which then sees the last state
                self.look()
                if running:
                    self._stop.wait(self.pause)
        except BaseException as error:
            self._found.put(error)
        self._found.put(None)

    @contextlib.contextmanager
    def states(self) -> Iterator[Iterator[FoundState]]:
        """Yield the states as they appear, until the run has ended and all were yielded."""
        thread = threading.Thread(target=self._follow, daemon=True)
        thread.start()
        try:
            yield self._each()
        finally:
            self._stop.set()
            thread.join()

    def _each(self) -> Iterator[FoundState]:
        while True:
            found = self._found.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                return
            yield found


class Schedule(NamedTuple):
    """The length of a run in steps."""

    steps_per_epoch: int
    steps: int

    def place(self, step: int) -> str:
        """Return where a state stands: "epoch 3", or "step 1234" within an epoch."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        return f"step {step}" if rest else f"epoch {epochs}"

    def wants(self, step: int, every: int) -> bool:
        """Return whether a state is measured where every so many epochs are; the last one always is."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        return every == 1 or step == self.steps or (rest == 0 and epochs % every == 0)

    def missing(self, seen: set[int]) -> list[int]:
        """Return the epochs before the newest state whose own states were gone before they were seen."""
        ended = max(seen, default=0) // self.steps_per_epoch
        return [epoch for epoch in range(1, ended + 1) if epoch * self.steps_per_epoch not in seen]


def schedule_of(settings: dict[str, Any], run: Path) -> Schedule:
    """Return the length of a run.

    Raises:
        UserError: its settings do not say it, as those of an older version.
    """
    effective = settings.get("effective")
    found = [effective.get(name) if isinstance(effective, dict) else None for name in Schedule._fields]
    numbers = [number for number in found if isinstance(number, int) and number > 0]
    if len(numbers) < len(found):
        raise UserError(f"the settings of {run} do not say how many steps an epoch has; start it again")
    return Schedule(*numbers)
