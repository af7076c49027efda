"""One cell in this process: its lock, state, log, stop and failures, a full disk included."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cheap_cells import PERFORM, cell, count

from mmbench.processes import host_name
from mmbench.tools.suite.definition.suite import RunSettings
from mmbench.tools.suite.execution.locks import CellLock
from mmbench.tools.suite.execution.work import Place, run_cell
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning.plan import is_done


def place(root: Path, **changes: object) -> Place:
    return Place(root, root / "data", RunSettings(), perform=PERFORM)._replace(**changes)


def status(root: Path, name: str, task: str = "sleep-0") -> str | None:
    answer = run_cell(cell(name, task), place(root))
    return None if answer is None else str(answer["status"])


def test_a_cell_leaves_its_state_and_its_log_and_is_not_done_twice(tmp_path: Path) -> None:
    answer = run_cell(cell("one"), place(tmp_path))
    assert answer is not None
    state = SuiteFolder(tmp_path).state(answer["id"])
    assert state is not None
    assert state.model_dump(mode="json") == answer
    assert (state.status, state.left, state.fingerprint, state.attempt) == (
        "done",
        "runs/one",
        "fingerprint",
        1,
    )
    assert (state.host, state.pid) == (host_name(), os.getpid())
    assert "printed by one" in SuiteFolder(tmp_path).log(state.id).read_text()
    assert run_cell(cell("one"), place(tmp_path)) == answer
    assert count(tmp_path, "begun") == {"one": 1}
    assert run_cell(cell("one"), place(tmp_path, again=True)) is not None
    (tmp_path / "runs" / "one").unlink()  # what it left is gone
    assert status(tmp_path, "one") == "done"
    assert count(tmp_path, "begun") == {"one": 3}


def test_data_elsewhere_are_found_again_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "suite"
    answer = run_cell(cell("images", "elsewhere"), place(root))
    assert answer is not None and answer["left"] == str(tmp_path / "images")
    monkeypatch.chdir("/")
    state = SuiteFolder(root).state(answer["id"])
    assert is_done(cell("images", "elsewhere"), state, SuiteFolder(root))


def test_a_failure_has_one_line_in_the_state_and_the_traceback_in_the_log(tmp_path: Path) -> None:
    assert status(tmp_path, "bad", "fail") == "failed"
    (state,) = SuiteFolder(tmp_path).states()
    assert state.error == "bad cannot be done; do something else"
    assert "Traceback" in SuiteFolder(tmp_path).log(state.id).read_text()
    assert status(tmp_path, "bad", "fail") == "failed"
    (state,) = SuiteFolder(tmp_path).states()
    assert state.attempt == 2


def test_a_cell_that_another_process_works_on_is_left_alone(tmp_path: Path) -> None:
    lock = CellLock(SuiteFolder(tmp_path).lock(cell("one").id))
    assert lock.take()
    assert run_cell(cell("one"), place(tmp_path)) is None
    lock.free()
    assert status(tmp_path, "one") == "done"
    assert count(tmp_path, "begun") == {"one": 1}


def test_sigterm_saves_and_the_cell_goes_on(tmp_path: Path) -> None:
    long = cell("long", "gate-0.5")  # it does not end before it is asked to

    def stop() -> None:
        while not (tmp_path / "begun.txt").exists():  # before that, the signal would end this process
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    answer = run_cell(long, place(tmp_path))
    assert answer is not None
    assert answer["status"] == "stopped"
    saved = int((tmp_path / "runs" / "long.steps").read_text())
    assert saved > 0
    (tmp_path / "go").touch()
    answer = run_cell(long, place(tmp_path))
    assert answer is not None
    assert (answer["status"], answer["attempt"]) == ("done", 2)


def test_a_lock_that_was_lost_stops_the_cell_and_leaves_the_state_to_its_new_owner(tmp_path: Path) -> None:
    """As after a halt that was longer than the lease: another process has the cell by now."""
    long, folder = cell("long", "sleep-5"), SuiteFolder(tmp_path)

    def take_away() -> None:
        folder.lock(long.id).unlink()
        folder.state_path(long.id).write_text("of another process")

    threading.Timer(0.3, take_away).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmbench.tools.suite.execution.locks.BEAT_SECONDS", 0.05)
        answer = run_cell(long, place(tmp_path))
    assert answer is not None
    assert answer["status"] == "stopped"
    assert folder.state_path(long.id).read_text() == "of another process"


def test_a_full_disk_fails_the_cell_and_the_answer_still_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SuiteFolder, "write", full)
    monkeypatch.setattr(SuiteFolder, "write_progress", full)
    answer = run_cell(cell("one", "sleep-1"), place(tmp_path))
    assert answer is not None
    assert answer["status"] == "failed"
    assert "no space is left on the disk; free some space" in answer["error"]
    monkeypatch.undo()
    assert not list((tmp_path / "cells").glob("*.lock"))
    assert status(tmp_path, "one") == "done"


class Disk(NamedTuple):
    root: Path
    fill: Callable[[], object]
    clear: Callable[[], object]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk that can be filled: a small tmpfs where root may mount one, else a limit of sizes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        filler = disk / "filler"
        yield Disk(disk, lambda: filler.write_bytes(b"x" * shutil.disk_usage(disk).free), filler.unlink)
        subprocess.run(["umount", "-l", str(disk)], check=True)
    else:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        yield Disk(
            disk,
            lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard)),
            lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)),
        )


def test_a_disk_that_fills_up_leaves_no_lock_and_no_half_state(small_disk: Disk) -> None:
    root = small_disk.root
    assert status(root, "one") == "done"
    small_disk.fill()
    answer = run_cell(cell("two"), place(root))
    small_disk.clear()
    assert answer is not None
    assert answer["status"] == "failed"
    assert "no space is left" in answer["error"] or "the file is larger than" in answer["error"]
    assert not list((root / "cells").glob("*.lock"))
    assert status(root, "two") == "done"
    assert {state.status for state in SuiteFolder(root).states()} == {"done"}
    assert count(root, "completed") == {"one": 1, "two": 1}
