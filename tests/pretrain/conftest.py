"""A small data set of coloured stripes in memory, and a finished run."""

import sys
from pathlib import Path

import pytest

from mmbench.data import Dataset
from mmbench.pretrain.engine import pretrain
from mmbench.runs import RunFolder

sys.path.insert(0, str(Path(__file__).parent))  # small_runs, kills, two_processes


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    from small_runs import make_tiny_dataset

    return make_tiny_dataset()


@pytest.fixture(scope="module")
def finished(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run of `small()`; nothing may change it."""
    from small_runs import small

    return pretrain(small(), tmp_path_factory.mktemp("runs") / "mixmask", dataset=tiny)
