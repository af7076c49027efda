"""Undo what mmengine leaves in the process after a run."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Iterator

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from mmbench.transfer.dense.common.quiet import random_state_restored


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Restore the global state that a Runner changes.

    mmengine keeps loggers, message hubs, visualizers and scopes by name for ever, takes the latest one
    where none is named, and sets the start method of processes and every random seed.
    """
    managers = (MMLogger, MessageHub, Visualizer, DefaultScope)
    instances = [manager._instance_dict.copy() for manager in managers]
    start_method = multiprocessing.get_start_method(allow_none=True)
    with random_state_restored():
        try:
            yield
        finally:
            for logger in MMLogger._instance_dict.values():
                if logger not in instances[0].values():
                    for handler in logger.handlers:
                        handler.close()
            for manager, before in zip(managers, instances, strict=True):
                manager._instance_dict = before
            multiprocessing.set_start_method(start_method, force=True)
