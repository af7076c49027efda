"""A small data set of coloured stripes in memory, a finished run, and threads that tests may change."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mmbench.data import Dataset, ImageSplit
from mmbench.pretrain.engine import pretrain
from mmbench.runs import RunFolder

sys.path.insert(0, str(Path(__file__).parent))  # small_runs, two_processes


def make_tiny_dataset(count: int = 192) -> Dataset:
    """Two classes: horizontal and vertical stripes of random colours, 40 px, fed at 32 px."""

    def render() -> ImageSplit:
        generator = torch.Generator().manual_seed(7)
        stripes = (torch.arange(40) // 4 % 2).float().expand(40, 40)
        labels = torch.arange(count) % 2
        pattern = torch.where(labels.view(-1, 1, 1, 1) == 0, stripes, stripes.T)
        ink, paper = torch.rand((2, count, 3, 1, 1), generator=generator)
        images = (pattern * ink + (1 - pattern) * paper) * 255
        return ImageSplit(images.to(torch.uint8), labels)

    return Dataset("stripes", Path("stripes"), ("horizontal", "vertical"), {"train": render}, 32)


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    return make_tiny_dataset()


@pytest.fixture(autouse=True)
def same_threads_after() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def finished(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A finished run of `small()`; nothing may change it."""
    from small_runs import small

    return pretrain(small(), tmp_path_factory.mktemp("runs") / "mixmask", dataset=tiny)
