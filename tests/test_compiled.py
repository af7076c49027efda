"""Compiled functions: kept between runs where possible, and usable where not."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mmbench.compiled import VALUES_OF_A_THREAD, compiled, over_threads

ROOT = Path(__file__).resolve().parents[1]
MODULE = """
from mmbench.compiled import compiled


@compiled
def twice(value: int) -> int:
    return 2 * value


print(twice(21), sum(twice.stats.cache_misses.values()), sum(twice.stats.cache_hits.values()))
"""


def run(folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, str(folder / "doubling.py")],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "doubling.py").write_text(MODULE)
    return tmp_path


def test_a_compiled_function_is_kept_for_the_next_process(folder: Path) -> None:
    assert [run(folder), run(folder)] == ["42 1 0\n", "42 0 1\n"]


def test_a_changed_file_is_compiled_again(folder: Path) -> None:
    run(folder)
    (folder / "doubling.py").write_text(MODULE.replace("2 * value", "3 * value"))
    assert run(folder) == "63 1 0\n"


def test_where_no_folder_can_be_written_each_process_compiles(folder: Path) -> None:
    # Only files in zip archives would have a cache: the same error as of folders that cannot be written.
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator"}
    assert [run(folder, **nowhere), run(folder, **nowhere)] == ["42 1 0\n", "42 1 0\n"]


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80\x05damaged"])
def test_a_damaged_cache_is_replaced(folder: Path, ending: str, content: bytes) -> None:
    run(folder)
    (kept,) = (folder / "__pycache__").glob(f"*.{ending}")
    kept.write_bytes(content)
    assert [run(folder), run(folder)] == ["42 1 0\n", "42 0 1\n"]


def test_without_space_for_the_cache_a_run_goes_on(folder: Path) -> None:
    limited = "import resource\n\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    (folder / "doubling.py").write_text(limited + MODULE)
    assert [run(folder), run(folder)] == ["42 1 0\n", "42 1 0\n"]


def test_sums_keep_their_order() -> None:
    @compiled
    def total(values: np.ndarray) -> np.float32:
        result = np.float32(0)
        for value in values:
            result += value
        return result

    values = np.random.default_rng(0).standard_normal(1001).astype(np.float32)
    expected = np.float32(0)
    for value in values:
        expected += value
    assert total(values) == expected


@pytest.fixture
def _three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_three_threads")
@pytest.mark.parametrize(
    ("images", "values", "threads"),
    [(7, 9 * VALUES_OF_A_THREAD, 3), (7, 2 * VALUES_OF_A_THREAD, 2), (2, 2**30, 2), (7, 5, 1), (0, 2**30, 1)],
)
def test_each_image_is_in_one_slice(images: int, values: int, threads: int) -> None:
    slices: list[slice] = []
    over_threads(slices.append, images, values)
    assert len(slices) == threads
    assert sorted(place for part in slices for place in range(images)[part]) == list(range(images))


@pytest.mark.usefixtures("_three_threads")
@pytest.mark.parametrize("failing", range(3))
def test_an_error_in_a_thread_is_raised(failing: int) -> None:
    def work(own: slice) -> None:
        if own.start == failing:
            raise ValueError(f"slice {failing}")

    with pytest.raises(ValueError, match=f"slice {failing}"):
        over_threads(work, 3, 2**30)


@pytest.mark.usefixtures("_three_threads")
def test_a_forked_process_has_threads_of_its_own() -> None:
    def work() -> None:
        done: list[slice] = []
        over_threads(done.append, 3, 2**30)
        assert len(done) == 3

    work()
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(60)
    assert child.exitcode == 0
