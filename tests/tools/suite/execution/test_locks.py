from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmbench.processes import began, host_name, is_alive
from mmbench.tools.suite.execution import locks
from mmbench.tools.suite.execution.locks import CellLock

HOLDER = """
import sys, time
from pathlib import Path
from mmbench.tools.suite.execution.locks import CellLock
lock = CellLock(Path(sys.argv[1]))
assert lock.take()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locks, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.2)
    return tmp_path / "cells" / "0123.lock"


def test_one_at_a_time(lock_file: Path) -> None:
    first, second = CellLock(lock_file), CellLock(lock_file)
    assert first.take()
    assert first.held
    assert not second.take()
    first.free()
    assert not lock_file.exists()
    assert second.take()
    second.free()


def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "0123.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    lock = CellLock(path)
    assert not lock.take()
    holder.kill()
    holder.communicate()
    assert lock.take()
    lock.free()


def test_the_lock_of_another_host_is_free_when_it_is_not_touched_any_more(lock_file: Path) -> None:
    first = CellLock(lock_file)
    assert first.take()
    record = lock_file.read_text()
    first.free()
    lines = ["host=another" if line.startswith("host=") else line for line in record.splitlines()]
    lock_file.write_text("\n".join(lines) + "\n")
    lock, begun = CellLock(lock_file), time.monotonic()
    while not lock.take():
        lock_file_age = time.monotonic() - begun
        assert lock_file_age < 60
        time.sleep(0.05)
    assert time.monotonic() - begun > 0.9  # not before the lease ended
    lock.free()


def test_an_empty_lock_file_of_a_power_cut_is_free_after_a_lease(lock_file: Path) -> None:
    lock_file.parent.mkdir()
    lock_file.touch()
    lock, begun = CellLock(lock_file), time.monotonic()
    while not lock.take():
        assert time.monotonic() - begun < 60
        time.sleep(0.05)
    assert time.monotonic() - begun > 0.9
    lock.free()


def test_a_process_is_known_by_its_id_and_its_beginning() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = began(process.pid)
    assert start is not None
    assert is_alive(process.pid, start)
    assert not is_alive(process.pid, "another")
    process.kill()
    while is_alive(process.pid, start):  # a process that was not asked after counts as gone
        time.sleep(0.01)
    process.communicate()
    assert began(process.pid) is None
    assert host_name() == host_name()
