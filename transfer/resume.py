"""The state of an interrupted training, from which the same command continues exactly."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from mmbench.compute_meter import ComputeMeter
from mmbench.distributed import any_process, on_main, process_rank
from mmbench.errors import UserError
from mmbench.runs import RunFolder

SAVE_EVERY_SECONDS = 60.0


def state_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of every part, by its name."""
    return {name: part.state_dict() for name, part in parts.items()}


class Unfinished:
    """The training state of one run, in a folder of its own, until its record is written.

    Args:
        root: the folder, <store>/.unfinished/<data set>/<protocol>/<run>; None saves nothing.
        device: where the tensors of a state are loaded to.
    """

    def __init__(self, root: Path | None, device: torch.device) -> None:
        self.folder = None if root is None else RunFolder(root)
        self.device = device
        above = [] if root is None else list(root.parents)[:4]
        # Our folders, and the store itself where this run creates it.
        self._made = [*above[:3], *(store for store in above[3:] if not store.exists())]
        self.notes: list[str] = []  # what a record must say about damaged states
        self.stop = False
        self._steps = False  # whether the run takes steps, at whose end a stop is obeyed
        self.seconds_before = 0.0  # what earlier sessions took
        self.meter = ComputeMeter(device)
        self._started = self._saved = time.monotonic()

    def require_idle(self) -> None:
        """Raise UserError if another process works on the same run."""
        folder = self.folder
        if folder is not None:
            on_main(folder.require_idle)

    def state(self) -> dict[str, Any] | None:
        """Return the newest state, None where the run begins.

        A training calls this before its first step; from then on a stop waits for the end of a step. Under
        several processes all of them read it, so the folder must be shared.
        """
        self._steps = True
        if self.folder is None:
            return None
        folder = self.folder
        newest = on_main(lambda: folder.newest_state(self.notes.append))
        if newest is None:
            return None
        state = folder.load_state(newest, self.device)
        self.seconds_before = float(state["seconds"])
        self.meter.go_on(state.get("compute"))
        return state

    def restore(self, parts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Load the newest state into `parts` and return it, None where the run begins.

        A state that lacks one of the parts was saved by another version: training starts again, and the
        record says so.

        Args:
            parts: what has `load_state_dict`, by name; see `state_of`.
        """
        saved = self.state()
        if saved is None:
            return None
        if not parts.keys() <= saved.keys():
            self.seconds_before = 0.0
            self.meter.start_again()
            self.notes.append(
                "a training state of another version of mmbench was not used: trained from the start"
            )
            return None
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        return saved

    def after_step(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """Save periodically, and when the run is asked to stop.

        Raises:
            KeyboardInterrupt: a stop was asked for; the state is saved.
            UserError: the disk is full; the run ends, and earlier states are unchanged.
        """
        self._save_if_due(step, state, time.monotonic() - self._saved >= SAVE_EVERY_SECONDS)

    def after_training(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
        """Obey a stop that came too late for the last step; later ones are obeyed at once.

        Raises:
            KeyboardInterrupt: a stop was asked for; the state is saved.
            UserError: the disk is full.
        """
        self._steps = False
        self._save_if_due(step, state, due=False)

    def before_record(self) -> None:
        """Obey a stop that came after the last step.

        Raises:
            KeyboardInterrupt: a stop was asked for.
        """
        self._steps = False
        if self.folder is not None and any_process([self.stop], self.device)[0]:
            raise KeyboardInterrupt

    def _save_if_due(self, step: int, state: Callable[[], dict[str, Any]], due: bool) -> None:
        if self.folder is None:
            return
        save, stop = any_process([due, self.stop], self.device)
        if not save and not stop:
            return
        seconds = self.seconds_before + time.monotonic() - self._started
        folder, content = self.folder, {**state(), "seconds": seconds}
        content["compute"] = self.meter.stored()

        def write() -> None:
            try:
                folder.save_state(content, step)
            except (OSError, RuntimeError) as error:
                reason = str(error).partition("\n")[0]
                raise UserError(
                    f"the state of step {step} cannot be written to {folder.training} ({reason}); "
                    "free some space and start the same command again"
                ) from None

        on_main(write)
        self._saved = time.monotonic()
        if stop:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder; Ctrl-C and SIGTERM stop after the step, or at once where there is none.

        Raises:
            UserError: another process works on the same run.
        """
        if self.folder is None:
            yield
            return
        with contextlib.ExitStack() as stack:
            if process_rank() == 0:
                stack.enter_context(self.folder.locked())
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGINT, signal.SIGTERM):
                    stack.callback(signal.signal, number, signal.signal(number, self._ask))
            try:
                yield
            finally:
                if not self.folder.state_paths():
                    self.forget()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.stop or not self._steps:  # asked twice, or no step to wait for: at once
            raise KeyboardInterrupt
        self.stop = True

    def forget(self) -> None:
        """Remove the folder: the run has its record, or saved no state."""
        if self.folder is None or process_rank() > 0:
            return
        shutil.rmtree(self.folder.root, ignore_errors=True)
        with contextlib.suppress(OSError):  # other runs may have states there
            for folder in self._made:
                folder.rmdir()
