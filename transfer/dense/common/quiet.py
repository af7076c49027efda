"""Contain a noisy library: its output goes to a file, and the process's random state survives it."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mmbench.settings.types import legacy_seed

WARNINGS = "py.warnings"  # the logger of Python's warnings while they are captured


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Discard what libraries print and warn of while they are imported.

    They complain about compiled operators and services that are not there; none is used here.
    """
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def logs_to(path: Path, *names: str) -> Iterator[None]:
    """Send the messages of the named loggers, and Python's warnings, to `path` instead of the terminal."""
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s", "%H:%M:%S"))
    loggers = [logging.getLogger(name) for name in (*names, WARNINGS)]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)  # above INFO, Detectron2 would set up its own terminal output
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
        handler.close()


@contextlib.contextmanager
def random_state_restored() -> Iterator[None]:
    """Restore the random states of Python, NumPy and torch at the end."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python, NumPy and torch; afterwards their random states are as before."""
    with random_state_restored():
        random.seed(seed)
        np.random.seed(legacy_seed(seed))
        torch.manual_seed(seed)
        yield
