from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.errors import UserError
from mmbench.tools.suite.definition.suite import RunSettings
from mmbench.tools.suite.execution import configuration as parsl_configuration
from mmbench.tools.suite.execution.configuration import configuration, gpus, pinned
from mmbench.tools.suite.execution.drivers import Driver
from mmbench.tools.suite.execution.guard import INTERCHANGE
from mmbench.tools.suite.folder import SuiteFolder


def settings(**changes: object) -> RunSettings:
    return RunSettings.model_validate(changes)


@pytest.mark.parametrize(
    ("changes", "found", "expected"),
    [
        ({}, [], []),
        ({}, ["a", "b"], ["a", "b"]),
        ({"workers": 1}, ["a", "b"], ["a"]),
        ({"workers": 3}, ["a", "b"], ["a", "b", "a"]),  # two share a GPU
        ({"gpus_per_cell": 2}, ["a", "b", "c", "d", "e"], ["a,b", "c,d"]),
        ({"gpus_per_cell": 0}, ["a", "b"], []),
    ],
)
def test_workers_are_pinned_to_gpus(changes: dict[str, int], found: list[str], expected: list[str]) -> None:
    assert pinned(settings(**changes), found) == expected


def test_fewer_gpus_than_a_cell_is_to_have() -> None:
    with pytest.raises(UserError, match=r"gpus_per_cell is 4, and this machine has 1 GPU; lower it"):
        pinned(settings(gpus_per_cell=4), ["a"])


def test_gpus_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("", []), ("-1", []), ("2,3", ["2", "3"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert gpus() == expected


def test_one_worker_per_core_and_parts_that_end_with_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsl_configuration, "gpus", list)
    monkeypatch.setattr(parsl_configuration, "cores", lambda: 7)
    driver = Driver(SuiteFolder(tmp_path))
    try:
        for changes, workers in (({}, 7), ({"threads": 2}, 3), ({"threads": 9}, 1), ({"workers": 20}, 20)):
            (executor,) = configuration(settings(**changes), driver).executors
            assert executor.workers_per_node == workers
        assert INTERCHANGE in executor.interchange_launch_cmd
        assert "mmbench.tools.suite.execution.guard" in executor.launch_cmd
    finally:
        driver.close()


OWN = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
config = Config(executors=[{executor}])
"""
POOL = "from parsl.providers import LocalProvider" + OWN.format(
    executor='HighThroughputExecutor(label="own", provider=LocalProvider({blocks}))'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"no Parsl file at .*own\.py; it is local, slurm, or the path of such a file"),
        ("1 / 0", r"own\.py ends with ZeroDivisionError"),
        ("import sys; sys.exit(3)", r"own\.py ends with SystemExit: 3"),
        ("x = 1", r"own\.py does not define `config`"),
        ("config = 3", r"own\.py does not define `config`"),
        (OWN.format(executor="ThreadPoolExecutor()"), r"is a ThreadPoolExecutor, and cells need processes"),
        (
            OWN.format(executor='HighThroughputExecutor(label="jobs")'),
            r"executor jobs: .*choose another label",
        ),
        (POOL.format(blocks="init_blocks=0, max_blocks=0"), r"executor own: .*set max_blocks to 1 or more"),
        (POOL.format(blocks="init_blocks=0") + "config.strategy = 'none'", r"set init_blocks to 1 or more"),
    ],
)
def test_bad_files_of_a_user(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "own.py"
    if text is not None:
        path.write_text(text)
    driver = Driver(SuiteFolder(tmp_path))
    try:
        with pytest.raises(UserError, match=message) as caught:
            configuration(settings(executor=str(path)), driver)
        assert "\n" not in str(caught.value)
    finally:
        driver.close()


def test_a_file_of_a_user_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN.format(executor='HighThroughputExecutor(label="own", max_workers_per_node=3)'))
    driver = Driver(SuiteFolder(tmp_path))
    try:
        (executor,) = configuration(settings(executor=str(path)), driver).executors
    finally:
        driver.close()
    assert executor.label == "own"
    assert "mmbench.tools.suite.execution.guard" in executor.launch_cmd


def test_slurm_on_a_machine_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    driver = Driver(SuiteFolder(tmp_path))
    try:
        with pytest.raises(UserError, match="sbatch is not on this machine"):
            configuration(settings(executor="slurm"), driver)
    finally:
        driver.close()
