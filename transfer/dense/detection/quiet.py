"""One run of a noisy library: its words go to a file, its random state starts from a seed, both end there."""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mmbench.settings_types import legacy_seed

# "py.warnings" is where Python's warnings go while captured; torch.fx warns about Detectron2's tracing.
NOISY = ("detectron2", "fvcore", "iopath", "py.warnings", "torch.fx._symbolic_trace")


@contextlib.contextmanager
def logs_to(path: Path) -> Iterator[None]:
    """Send the words of Detectron2, its helpers and Python's warnings to `path`, not to the terminal."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s", "%H:%M:%S"))
    loggers = [logging.getLogger(name) for name in NOISY]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)  # lower than INFO, Detectron2 would set up its own terminal output
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
def seeded(seed: int) -> Iterator[None]:
    """Seed Python, numpy and torch, which Detectron2 all draws from; afterwards they go on as before."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(legacy_seed(seed))
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
