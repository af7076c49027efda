"""Signals as requests to a running pretraining."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from mmbench.pretrain.session import Requests


@contextlib.contextmanager
def signals_as_requests() -> Iterator[Requests]:
    """Ctrl-C and SIGTERM save and stop, SIGUSR1 saves and goes on; a second one stops at once.

    Before the first step and after the last one there is nothing to save, so a stop takes effect at once.
    SIGTERM is what Slurm sends before it takes a machine back; it asks for a new submission too.
    """
    requests = Requests()

    def stop(number: int, frame: FrameType | None) -> None:
        at_once = requests.stop or requests.idle
        requests.stop = True
        if at_once:
            raise KeyboardInterrupt

    def save(number: int, frame: FrameType | None) -> None:
        requests.save = True

    def give_way(number: int, frame: FrameType | None) -> None:
        requests.resubmit = True
        stop(number, frame)

    wanted = {signal.SIGINT: stop, signal.SIGTERM: give_way, signal.SIGUSR1: save}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
