"""A worker's part: one cell under its lock, with its state, its log, and a way to stop it."""

from __future__ import annotations

import contextlib
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from mmbench.errors import UserError, one_line
from mmbench.faults import fault_of
from mmbench.one_call import begin_call
from mmbench.processes import host_name
from mmbench.progress import timestamp
from mmbench.tools.suite.definition.suite import RunSettings
from mmbench.tools.suite.execution.drivers import VARIABLE
from mmbench.tools.suite.execution.guard import stop_with_driver
from mmbench.tools.suite.execution.locks import CellLock
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell
from mmbench.tools.suite.planning.plan import is_done

PROGRESS_SECONDS = 0.5
Report = Callable[[int, int, str], None]


class Place(NamedTuple):
    """Where and how a worker works.

    Attributes:
        root: the suite's folder.
        data_root: folder with one folder per data set.
        run: how the suite is run.
        again: look at the cell even if its state says that it is done.
        perform: "module:function" that does the work itself, see `mmbench.tools.suite.execution.perform`.
    """

    root: Path
    data_root: Path
    run: RunSettings
    again: bool = False
    perform: str = "mmbench.tools.suite.execution.perform:perform"


class Left(NamedTuple):
    """What a cell left: a path, and the fingerprint of the data that it found or the weights that it left.

    Attributes:
        card: of the weights that it read, see `CellState`.
    """

    path: Path | None = None
    fingerprint: str = ""
    card: str = ""


class Stop:
    """SIGTERM as a request: a training saves first, other work ends at once.

    Attributes:
        asked: whether to stop.
        at_once: whether the next SIGTERM may interrupt whatever runs.
    """

    def __init__(self) -> None:
        self.asked = False
        self.at_once = False
        self.listeners: list[Callable[[], None]] = []

    def ask(self, *_: object) -> None:
        """Take a signal, or the loss of the lock."""
        self.asked = True
        for listener in self.listeners:
            listener()
        if self.at_once:
            self.at_once = False
            raise KeyboardInterrupt


class Job(NamedTuple):
    """What the function that does the work is given."""

    cell: Cell
    place: Place
    report: Report
    say: Callable[[str], None]
    stop: Stop

    @property
    def folder(self) -> SuiteFolder:
        """The suite's folder."""
        return SuiteFolder(self.place.root)


_watched: set[str] = set()


def run_cell(cell: Cell, place: Place) -> dict[str, Any] | None:
    """Run one cell, unless another process works on it; return its state as JSON values, None if one does.

    A cell that is done already, because another runner did it in the meantime, is left as it is. Nothing but
    the state says how the cell ended, so it survives the loss of this process's answer.
    """
    driver = os.environ.get(VARIABLE)
    if driver is not None and driver not in _watched:
        _watched.add(driver)
        begin_call()  # the worker's cells share what is opened
        stop_with_driver(Path(driver))
    folder, stop = SuiteFolder(place.root), Stop()
    lock = CellLock(folder.lock(cell.id), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with _handling(stop):
        try:
            if not lock.take():
                return None
        except (OSError, UserError) as error:
            return (
                _begun(cell, None).model_copy(update={"status": "failed", "error": _line(error)}).model_dump()
            )
        try:
            before = folder.state(cell.id)
            if before is not None and not place.again and is_done(cell, before, folder):
                return before.model_dump(mode="json")
            return _Attempt(cell, place, lock, stop).run(before).model_dump(mode="json")
        finally:
            lock.free()


def _begun(cell: Cell, before: CellState | None) -> CellState:
    """Return the state of a cell at the start of an attempt."""
    now = time.time()
    return CellState(
        id=cell.id,
        name=cell.name,
        status="running",
        attempt=1 if before is None else before.attempt + 1,
        host=host_name(),
        pid=os.getpid(),
        started=now,
        changed=now,
        seconds=0 if before is None else before.seconds,
        words="starting",
    )


class _Attempt:
    """One attempt at a cell whose lock is held."""

    def __init__(self, cell: Cell, place: Place, lock: CellLock, stop: Stop) -> None:
        self.cell, self.place, self.lock, self.stop = cell, place, lock, stop
        self.folder = SuiteFolder(place.root)
        self.reported = self.began = time.monotonic()

    def run(self, before: CellState | None) -> CellState:
        """Do the work; return the final state, which is written if the disk takes it."""
        self.state = _begun(self.cell, before)
        self.spent = self.state.seconds
        try:
            with _log_to(self.folder.log(self.cell.id), self.state) as log:
                self._write()
                ended = self._ended(log)
                with contextlib.suppress(OSError):
                    print(f"{timestamp()} {ended.status}", ended.error, file=log, flush=True)
                return ended
        except OSError as error:  # neither log nor state can be written
            return self._finish("failed", error=_line(error))

    def _ended(self, log: TextIO) -> CellState:
        job = Job(
            self.cell, self.place, self._report, lambda line: print(line, file=log, flush=True), self.stop
        )
        try:
            perform = pkgutil.resolve_name(self.place.perform)
            left: Left = perform(job)
        except KeyboardInterrupt:
            return self._finish("stopped")
        except Exception as error:
            self.stop.at_once = False
            traceback.print_exc(file=log)
            return self._finish("failed", error=_line(error))
        finally:
            self.stop.at_once = False
        path = "" if left.path is None else os.path.relpath(left.path, self.folder.root)
        if left.path is not None and path.startswith(os.pardir):  # data that lie elsewhere
            path = str(left.path.absolute())
        state = self.state
        self.state = state.model_copy(
            update={
                "done": state.total,
                "left": path,
                "fingerprint": left.fingerprint,
                "card": left.card,
            }
        )
        return self._finish("done")

    def _report(self, done: int, total: int, words: str) -> None:
        """Put progress into the state file, without waiting for the disk."""
        now = time.monotonic()
        if now - self.reported < PROGRESS_SECONDS:
            return
        self.reported = now
        self.state = self.state.model_copy(
            update={
                "done": done,
                "total": max(total, 1),
                "words": one_line(words, 200),
                "changed": time.time(),
                "seconds": self.spent + now - self.began,
            }
        )
        if self.lock.held:
            with contextlib.suppress(OSError):
                self.folder.write_progress(self.state)

    def _finish(self, status: str, *, error: str = "") -> CellState:
        self.state = self.state.model_copy(
            update={
                "status": status,
                "error": error,
                "changed": time.time(),
                "seconds": self.spent + time.monotonic() - self.began,
            }
        )
        with contextlib.suppress(OSError):  # the driver is given the state too, and writes it later
            self._write()
        return self.state

    def _write(self) -> None:
        if self.lock.held:  # otherwise another process works on the cell now, and the file is its own
            self.folder.write(self.state)


def _line(error: BaseException) -> str:
    """Return an error in one line."""
    if isinstance(error, UserError):
        return one_line(str(error), 1000)
    if (fault := fault_of(error)) is not None:
        return one_line(fault.words, 1000)
    return one_line(f"{type(error).__name__}: {error}", 1000)


@contextlib.contextmanager
def _handling(stop: Stop) -> Iterator[None]:
    """Take SIGTERM as a request; Ctrl-C is the driver's to handle."""
    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, stop.ask),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _log_to(path: Path, state: CellState) -> Iterator[TextIO]:
    """Let everything that this process prints go to a file, which begins anew with a first attempt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(1), os.dup(2)
    with path.open("w" if state.attempt == 1 else "a", encoding="utf-8", errors="backslashreplace") as log:
        print(
            f"{timestamp()} attempt {state.attempt} at {state.name}, process {state.pid} on {state.host}",
            file=log,
            flush=True,
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            yield log
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for handle in kept:
                os.close(handle)
