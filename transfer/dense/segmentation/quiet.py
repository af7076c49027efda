"""One run of mmengine, contained: its words go to files, its global state and random state end with it."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Swallow what mmcv and mmsegmentation print and warn about while they are imported.

    They complain of the compiled operators and of services that are not there; none is used here.
    """
    with (
        Path("/dev/null").open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def warnings_to(path: Path) -> Iterator[None]:
    """Send Python's warnings to the file `path` instead of the terminal."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    logger = logging.getLogger("py.warnings")
    before = logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = [handler], False
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        logger.handlers, logger.propagate = before
        handler.close()


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Undo at the end what a Runner leaves in the process.

    mmengine keeps loggers, message hubs, visualizers and scopes by name for ever, takes the latest one
    where none is named, and sets the start method of processes and every random seed.
    """
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    managers = (MMLogger, MessageHub, Visualizer, DefaultScope)
    instances = [manager._instance_dict.copy() for manager in managers]
    start_method = multiprocessing.get_start_method(allow_none=True)
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
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
            random.setstate(python_state)
            np.random.set_state(numpy_state)
