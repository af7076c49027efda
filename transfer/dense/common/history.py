"""What a training measured of itself: losses for metrics.json, and the progress that a person sees."""

from __future__ import annotations

import json
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmbench.files import write_text

WINDOW = 20  # iterations that a line of metrics.json stands for, as in Detectron2 and mmengine
LOSS_EVERY = 10  # iterations between changes of the progress line


class LossHistory:
    """Writes metrics.json, of all sessions of a training.

    Every 20 iterations one line: medians over these iterations, and the newest of the other numbers.

    Args:
        path: the file; None in processes that write nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines: list[dict[str, float]] = []
        self.recent: dict[str, deque[float]] = {}

    def add(
        self, done: int, smoothed: Mapping[str, float], newest: Mapping[str, float], *, last: bool = False
    ) -> None:
        """Take the numbers of an iteration, and write a line where one is due.

        Args:
            done: iterations that are done.
            smoothed: of this iteration, such as "total_loss" and its parts, whose names begin with "loss"; a
                line has medians.
            newest: such as "lr"; a line has the newest.
            last: whether the training ends here.
        """
        for numbers, kept in ((smoothed, WINDOW), (newest, 1)):
            for name, value in numbers.items():
                self.recent.setdefault(name, deque(maxlen=kept)).append(float(value))
        if self.recent and (last or done % WINDOW == 0):
            line = {name: statistics.median(values) for name, values in sorted(self.recent.items())}
            self.lines.append({"iteration": done - 1, **line})
            self.recent.clear()
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as stream:
                    stream.write(_text(self.lines[-1]))

    def write(self) -> None:
        """Write the file anew: another session may have left lines that are measured again."""
        if self.path is not None:
            write_text(self.path, "".join(map(_text, self.lines)))

    def state_dict(self) -> dict[str, Any]:
        """Return the lines so far, and the numbers of the next one."""
        recent = {name: [values.maxlen, list(values)] for name, values in self.recent.items()}
        return {"lines": self.lines, "recent": recent}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from where `state_dict` was called."""
        self.lines = list(state["lines"])
        self.recent = {name: deque(values, maxlen=size) for name, (size, values) in state["recent"].items()}


def _text(line: dict[str, float]) -> str:
    return json.dumps(line, sort_keys=True) + "\n"


class Progress:
    """Reports every iteration, and measures the wait for data.

    Args:
        report: called with (done, total, message).
        history: holds the losses.
        waited: returns the seconds that this session waited for data so far.
    """

    def __init__(
        self, report: Callable[[int, int, str], None], history: LossHistory, waited: Callable[[], float]
    ) -> None:
        self.report, self.history, self.waited = report, history, waited
        self.message = "no loss yet"
        self.recent: deque[float] = deque(maxlen=LOSS_EVERY)
        self.waited_before = self.seconds_before = 0.0  # of earlier sessions
        self._started = time.perf_counter()

    def begin(self) -> None:
        """Start the clock, and the file of losses."""
        self.history.write()
        self._started = time.perf_counter()

    def step(self, done: int, total: int, loss: float | None) -> None:
        """Report the iteration just finished.

        Args:
            loss: its total; None in processes that do not know it.
        """
        if loss is not None:
            self.recent.append(loss)
        if self.recent and (done % LOSS_EVERY == 0 or done == total):
            found = statistics.median(self.recent)
            self.message = f"loss {found:.2f}, {self.waiting_share():.0%} of the time waiting for data"
        self.report(done, total, self.message)

    def waiting_share(self) -> float:
        """Return the share of the training's time, of all sessions, that was spent waiting for data."""
        state = self.state_dict()
        return min(1.0, state["waited"] / state["seconds"]) if state["seconds"] > 0 else 0.0

    def note(self) -> str:
        """Return the note on the training of all sessions."""
        waiting = f"{self.waiting_share():.0%} of the training's time was spent waiting for data"
        last = self.history.lines[-1].get("total_loss") if self.history.lines else None
        if last is None:
            return waiting
        return f"training loss {last:.3f} at the end, as the median of its last iterations; {waiting}"

    def state_dict(self) -> dict[str, float]:
        """Return the seconds so far."""
        return {
            "waited": self.waited_before + self.waited(),
            "seconds": self.seconds_before + time.perf_counter() - self._started,
        }

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Add to the seconds of earlier sessions."""
        self.waited_before, self.seconds_before = state["waited"], state["seconds"]
