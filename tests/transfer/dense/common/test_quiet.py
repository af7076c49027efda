"""Output and random state of a noisy library: before, during and after a run."""

from __future__ import annotations

import logging
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.transfer.dense.common.quiet import WARNINGS, logs_to, quiet_import, seeded

NAMES = ("noisy", "noisier")


def logging_state() -> list[tuple[list[logging.Handler], int, bool]]:
    loggers = [logging.getLogger(name) for name in (*NAMES, WARNINGS)]
    return [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]


def test_messages_and_warnings_go_to_the_file_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = logging_state()
    with logs_to(tmp_path / "log.txt", *NAMES), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("noisy.engine").info("starting")
        logging.getLogger("noisier.common").warning("careful")
        warnings.warn("old habit", FutureWarning, stacklevel=1)
    assert logging_state() == before
    assert capfd.readouterr() == ("", "")
    text = (tmp_path / "log.txt").read_text()
    assert all(message in text for message in ("starting", "careful", "old habit"))


def test_an_import_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_import():
        print("hello")
        print("no such service", file=sys.stderr)
        warnings.warn("no compiled operators", stacklevel=1)
        logging.getLogger("of.nobody").warning("careful")
    assert capfd.readouterr() == ("", "")


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_seed_holds_inside_and_the_random_states_are_restored() -> None:
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = [draw(), draw()]
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    found = [draw()]
    inside = []
    for _ in range(2):
        with seeded(11):
            inside.append(draw())
    with pytest.raises(ValueError, match="inside"), seeded(12):
        inside.append(draw())
        raise ValueError("inside")
    found.append(draw())
    assert found == expected
    assert inside[0] == inside[1] != inside[2]
