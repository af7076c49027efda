"""A noisy library's words and random state, before, during and after a run."""

from __future__ import annotations

import logging
import random
import warnings

import numpy as np
import pytest
import torch

from mmbench.transfer.dense.detection.quiet import NOISY, logs_to, seeded


def logging_state() -> list[tuple[list[logging.Handler], int, bool]]:
    loggers = [logging.getLogger(name) for name in NOISY]
    return [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers]


def test_words_and_warnings_go_to_the_file_only(tmp_path, capfd) -> None:
    before = logging_state()
    with logs_to(tmp_path / "log.txt"), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("detectron2.engine").info("starting")
        logging.getLogger("fvcore.common").warning("careful")
        warnings.warn("old habit", FutureWarning, stacklevel=1)
    assert logging_state() == before
    assert capfd.readouterr() == ("", "")
    words = (tmp_path / "log.txt").read_text()
    assert all(word in words for word in ("starting", "careful", "old habit"))


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_seed_rules_inside_and_leaves_the_outside_alone() -> None:
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
