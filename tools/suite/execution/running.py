"""A run in progress: cells go out to workers, and their ends, losses and states come in."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from mmbench.errors import UserError
from mmbench.tools.suite.definition.suite import RunSettings
from mmbench.tools.suite.execution.drivers import Driver
from mmbench.tools.suite.execution.executor import Engine, LostEngineError, is_loss
from mmbench.tools.suite.execution.guard import STOP_SECONDS
from mmbench.tools.suite.execution.locks import CellLock
from mmbench.tools.suite.execution.losses import Losses
from mmbench.tools.suite.execution.stopping import stop_signals
from mmbench.tools.suite.execution.work import Place, run_cell
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell
from mmbench.tools.suite.planning.plan import is_done
from mmbench.tools.suite.planning.schedule import Schedule

LOOK_SECONDS = 0.25
BUSY_SECONDS = 2.0  # between looks at a cell that another runner works on


class Observer(Protocol):
    """Who watches a run; called in the driver's main thread."""

    def update(self, states: Mapping[str, CellState]) -> None:
        """Take note of the states, by the id of the cell, that changed; at most 4 times a second."""

    def say(self, line: str) -> None:
        """Show a line to the user."""


class Running:
    """One run: the engine, the cells that are out, and what is known of them."""

    def __init__(
        self,
        settings: RunSettings,
        folder: SuiteFolder,
        place: Place,
        schedule: Schedule,
        driver: Driver,
        observer: Observer,
    ) -> None:
        self.settings, self.folder, self.place = settings, folder, place
        self.schedule, self.driver, self.observer = schedule, driver, observer
        self.began = time.time()
        self.messages: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()
        self.out: dict[Future[Any], Cell] = {}
        self.busy: dict[str, tuple[Cell, CellLock]] = {}
        self.losses = Losses(settings.retries)
        self.lost: list[Cell] = []  # with the engine
        self.given_up: list[Cell] = []  # lost while the run was stopping
        self.ends = 0  # of the engine, since the last cell that finished
        self.stopping: float | None = None
        self.changed: dict[str, CellState] = {}
        self.seen: dict[str, int] = {}
        self.updated = self.looked = 0.0
        self.engine: Engine | None = None

    def until_done(self, fail_fast: bool) -> None:
        """Run all cells that can be run.

        Raises:
            UserError, KeyboardInterrupt: see `run_cells`.
        """
        self.fail_fast = fail_fast
        with stop_signals(self._stop) as asked:
            try:
                while not self._is_over():
                    self._one_round()
            finally:
                if self.engine is not None:
                    self.driver.ask_to_stop()
                    self.engine.stop()
                self._close_lost_states()
                self._update(at_once=True)
        if asked:
            raise KeyboardInterrupt

    def _is_over(self) -> bool:
        if self.stopping is not None:
            return not self.out or time.monotonic() - self.stopping > STOP_SECONDS
        return not (self.out or self.lost or self.busy or self.schedule.ready)

    def _one_round(self) -> None:
        if self.stopping is None:
            self._submit()
            self._look_at_busy()
        with contextlib.suppress(queue.Empty):
            future = self.messages.get(timeout=LOOK_SECONDS)
            while future is not None:
                self._take_in(future)
                if self.stopping is None:
                    self._submit()
                future = self.messages.get_nowait()
        self._check_engine()
        self._update()

    def _submit(self) -> None:
        """Give ready cells to free workers."""
        if self.engine is not None and self.engine.problem() is not None:
            return
        while self.schedule.ready and (self.engine is None or self._out_to_workers() < self.engine.slots):
            cell = self.schedule.take()
            if not self.place.again and self._was_done_elsewhere(cell):
                continue
            if self.engine is None:
                self.engine = Engine(self.settings, self.folder, self.driver)
            self._pass_over(cell.id)
            future = self.engine.submit(run_cell, cell, self.place, own_job=self._is_own_job(cell))
            self.out[future] = cell
            future.add_done_callback(self.messages.put)

    def _is_own_job(self, cell: Cell) -> bool:
        return self.settings.pretraining.nodes > 1 and cell.work.kind == "pretrain"

    def _out_to_workers(self) -> int:
        return len(self.out) - sum(map(self._is_own_job, self.out.values()))

    def _was_done_elsewhere(self, cell: Cell) -> bool:
        """Take in what another runner left of a cell since this run began; return whether it is over."""
        state = self.folder.state(cell.id)
        if state is None or state.changed < self.began or state.status not in ("done", "failed"):
            return False
        if state.status == "done" and not is_done(cell, state, self.folder):
            return False
        self._end(cell, state)
        return True

    def _look_at_busy(self) -> None:
        """Look at the cells that other runners work on: they end, or their lock becomes free."""
        if time.monotonic() - self.looked < BUSY_SECONDS:
            return
        self.looked = time.monotonic()
        for id, (cell, lock) in list(self.busy.items()):
            with contextlib.suppress(OSError, UserError):
                if not lock.take():
                    self._look_at(id)
                    continue
                lock.free()
            del self.busy[id]
            self.schedule.put(cell)

    def _take_in(self, future: Future[Any]) -> None:
        """Take in the end of a cell in a worker."""
        cell = self.out.pop(future, None)
        if cell is None:  # of an engine that is gone
            return
        error = future.exception()
        if error is not None and is_loss(error) and self.engine and self.engine.problem() is not None:
            self.lost.append(cell)
        elif error is not None:
            self._lost(cell, error)
        elif (found := future.result()) is None:
            if self.stopping is None:
                self.busy[cell.id] = (cell, CellLock(self.folder.lock(cell.id)))
        else:
            state = CellState.model_validate(found)
            if self.folder.state(cell.id) != state:
                self._write(state)  # the worker could not, as on a full disk
            self.ends = 0
            if state.status == "stopped":
                if self.stopping is None:
                    self.schedule.put(cell)
                self.changed[cell.id] = state
            else:
                self._end(cell, state)

    def _end(self, cell: Cell, state: CellState) -> None:
        self.changed[cell.id] = state
        if state.status == "done":
            self.schedule.finish(cell)
        elif self.fail_fast:
            self._stop()

    def _lost(self, cell: Cell, error: BaseException) -> None:
        """Let a cell whose worker was lost run again, unless that happened too often without progress."""
        if self.stopping is not None:
            self.given_up.append(cell)
            return
        with self._locked(cell) as free:
            if not free:  # the worker lives, and goes on alone
                self.busy[cell.id] = (cell, CellLock(self.folder.lock(cell.id)))
                return
            state = self.folder.state(cell.id)
            if self.losses.may_go_on(cell, state, error):
                self.schedule.put(cell)
                return
            failed = self.losses.failure(cell, state, error, self.folder)
            self._write(failed)
        self._end(cell, failed)

    @contextlib.contextmanager
    def _locked(self, cell: Cell) -> Iterator[bool]:
        """Hold the lock of a cell if no process works on it."""
        lock = CellLock(self.folder.lock(cell.id))
        try:
            free = lock.take()
        except (OSError, UserError):
            free = True  # a full disk: nothing can be written anyway
        try:
            yield free
        finally:
            lock.free()

    def _check_engine(self) -> None:
        """Start the engine again after its interchange or all of its workers are gone.

        Raises:
            UserError: it is gone again and again.
        """
        if self.engine is None or (problem := self.engine.problem()) is None:
            return
        logs = self.engine.logs
        self.engine.stop()
        self.engine = None
        cells = [*self.out.values(), *self.lost]
        self.out.clear()
        self.lost.clear()
        for cell in cells:
            self._lost(cell, LostEngineError())
        self.ends += 1
        if self.stopping is None and self.ends > max(1, self.settings.retries):
            raise UserError(
                f"the workers ended {self.ends} times before any cell did ({problem}); see {logs}"
            )
        if self.stopping is None:
            self.observer.say(f"the engine is started again: {problem}")

    def _stop(self) -> None:
        """Ask the workers to save and stop."""
        if self.stopping is None:
            self.stopping = time.monotonic()
            self.driver.ask_to_stop()
            self.messages.put(None)

    def _close_lost_states(self) -> None:
        """Say of the cells that were out at the end that they are interrupted, where no process has them."""
        for cell in (*self.out.values(), *self.lost, *self.given_up):
            with self._locked(cell) as free:
                state = self.folder.state(cell.id) if free else None
                if state is not None and state.status == "running":
                    self._write(state.model_copy(update={"status": "stopped"}))
            self._look_at(cell.id)

    def _write(self, state: CellState) -> None:
        with contextlib.suppress(OSError):
            self.folder.write(state)

    def _pass_over(self, id: str) -> None:
        """Let the state that an earlier run left of a cell not count as news of this run."""
        with contextlib.suppress(OSError):
            self.seen[id] = self.folder.state_path(id).stat().st_mtime_ns

    def _look_at(self, id: str) -> None:
        """Take in the state of a cell if its file changed."""
        path = self.folder.state_path(id)
        with contextlib.suppress(OSError):
            changed = path.stat().st_mtime_ns
            if self.seen.get(id) != changed and (state := self.folder.state(id)) is not None:
                self.seen[id] = changed
                self.changed[id] = state

    def _update(self, *, at_once: bool = False) -> None:
        """Show the observer what changed."""
        now = time.monotonic()
        if now - self.updated < LOOK_SECONDS and not at_once:
            return
        self.updated = now
        for cell in self.out.values():
            self._look_at(cell.id)
        if self.changed:
            changed, self.changed = self.changed, {}
            self.observer.update(changed)
