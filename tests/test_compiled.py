"""Compiled functions: kept between runs where possible, and usable where not."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmbench.compiled import compiled

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
