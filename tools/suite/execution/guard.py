"""Runs a part of Parsl so that it ends with the driver: `python -m ...suite.execution.guard MODULE ...`.

Parsl's own parts outlive a killed driver. Here a thread of the same process watches the driver, so there is
nothing between them that could be killed alone. Workers watch by themselves, see `stop_with_driver`.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing.managers
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

from mmbench.processes import end_with_parent
from mmbench.tools.suite.execution.drivers import VARIABLE, DriverWatch

LOOK_SECONDS = 0.5
SAVE_SECONDS = 8.0  # for a training to save after the driver was killed
STOP_SECONDS = 60.0  # for a cell to stop when the driver asks for it, and waits
INTERCHANGE = "parsl.executors.high_throughput.interchange"
POOL = "parsl.executors.high_throughput.process_worker_pool"


def main() -> None:
    """Run Parsl's module that the command line names, until its end or the driver's."""
    del sys.argv[0]
    module = sys.argv[0]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal
    if (path := os.environ.get(VARIABLE)) is not None:
        # A driver that asks for a stop waits for its workers, and ends its interchange itself.
        patience = math.inf if module == INTERCHANGE else 1.5 * STOP_SECONDS
        arguments = (DriverWatch(Path(path)), patience)
        threading.Thread(target=_end_with, args=arguments, daemon=True, name="suite-guard").start()
    _tie_servers()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _tie_servers() -> None:
    """Tie a pool to its server process, which would outlive it, and without which its workers do nothing."""
    servers = multiprocessing.managers.SyncManager
    start = servers.start

    def tied(server: multiprocessing.managers.SyncManager) -> None:
        start(server, end_with_parent)
        threading.Thread(target=_end_after, args=(server,), daemon=True).start()

    servers.start = tied  # type: ignore[method-assign, assignment]


def _end_after(server: multiprocessing.managers.SyncManager) -> None:
    server._process.join()  # type: ignore[attr-defined]
    os._exit(1)


def _end_with(watch: DriverWatch, patience: float) -> None:
    """End this process when the driver is gone, or some seconds after it asked for a stop."""
    asked = None
    while (wish := watch.wish()) != "gone":
        asked = None if wish == "go on" else asked or time.monotonic()
        if asked is not None and time.monotonic() - asked > patience:
            break
        time.sleep(LOOK_SECONDS)
    os._exit(1)


def stop_with_driver(path: Path) -> None:
    """Make this worker stop its cell, as by SIGTERM, when the driver asks for it or is gone; then it ends."""
    threading.Thread(target=_stop_with, args=(DriverWatch(path),), daemon=True, name="suite-guard").start()


def _stop_with(watch: DriverWatch) -> None:
    while watch.wish() == "go on":
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    asked, gone = time.monotonic(), None
    while time.monotonic() - asked < STOP_SECONDS:
        if gone is None and watch.wish() == "gone":
            gone = time.monotonic()
        if gone is not None and time.monotonic() - gone > SAVE_SECONDS:
            break
        time.sleep(LOOK_SECONDS)
    _kill_children()
    os._exit(1)


def _kill_children() -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()


if __name__ == "__main__":
    main()
