from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mmbench.tools.suite.execution import drivers
from mmbench.tools.suite.execution.drivers import (
    VARIABLE,
    Driver,
    DriverWatch,
    living,
    processes_of,
    stop_what_dead_drivers_left,
)
from mmbench.tools.suite.folder import SuiteFolder

DRIVE = """
import subprocess, sys, time, os
from pathlib import Path
from mmbench.tools.suite.execution.drivers import Driver, VARIABLE
from mmbench.tools.suite.folder import SuiteFolder
driver = Driver(SuiteFolder(Path(sys.argv[1])))
driver.add_job("41")
os.environ[VARIABLE] = str(driver.path)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
print(driver.path, flush=True)
time.sleep(600)
"""


def test_what_a_killed_driver_left_is_stopped_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bin, cancelled = tmp_path / "bin", tmp_path / "cancelled"
    bin.mkdir()
    (bin / "scancel").write_text(f'#!/bin/sh\necho "$@" > {cancelled}\n')
    (bin / "scancel").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    folder = SuiteFolder(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    path = Path(process.stdout.readline().strip())
    assert living(folder) == {path}
    lines: list[str] = []
    stop_what_dead_drivers_left(folder, lines.append)
    assert (lines, len(processes_of(path))) == ([], 1)  # it lives: nothing is touched
    watch = DriverWatch(path)
    assert watch.here
    assert watch.wish() == "go on"
    process.kill()
    process.communicate()
    assert watch.wish() == "gone"
    assert living(folder) == set()
    stop_what_dead_drivers_left(folder, lines.append)
    assert lines == [
        "an earlier run of this suite was killed: stopped 1 processes and cancelled 1 jobs that it left"
    ]
    assert processes_of(path) == []
    assert cancelled.read_text() == "41\n"
    assert not path.exists()


def test_a_process_is_found_though_its_environment_cannot_be_read_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, VARIABLE: str(mark)})
    read, times = psutil.Process.environ, [0]

    def late(this: psutil.Process) -> dict[str, str]:
        if this.pid != process.pid:
            return read(this)
        times[0] += 1
        return read(this) if times[0] > 3 else {}

    monkeypatch.setattr(psutil.Process, "environ", late)
    assert processes_of(mark) == [process.pid]
    times[0] = -1_000_000  # it stays empty
    assert processes_of(mark) == []
    process.kill()
    process.wait()


def test_a_driver_asks_for_a_stop_by_removing_its_file(tmp_path: Path) -> None:
    driver = Driver(SuiteFolder(tmp_path))
    watch = DriverWatch(driver.path)
    assert json.loads(driver.path.read_text())["pid"] == os.getpid()
    assert watch.wish() == "go on"
    driver.ask_to_stop()
    assert [watch.wish(), watch.wish()] == ["go on", "stop"]  # once may be a hiccup of the file system
    driver.add_job("42")
    assert not driver.path.exists()


def test_a_driver_on_another_host_is_gone_when_its_file_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drivers, "SILENT_SECONDS", 0.5)
    folder = SuiteFolder(tmp_path)
    folder.drivers.mkdir()
    path = folder.drivers / f"elsewhere@{os.getpid()}@boot-1.json"
    path.write_text("{}")
    watch = DriverWatch(path)
    assert not watch.here
    assert watch.wish() == "go on"
    assert living(folder) == {path}
    time.sleep(0.7)
    assert watch.wish() == "gone"
    assert living(folder) == set()
    path.touch()
    assert watch.wish() == "go on"
    assert os.environ.get(VARIABLE) != str(path)
