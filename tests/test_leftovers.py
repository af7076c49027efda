"""What killed processes leave is removed by the next that works for the same target, and nothing else is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmbench.files import write_text
from mmbench.leftovers import OLD, remove_leftovers, scratch_file, scratch_folder

KILLED = """
import sys, time
from pathlib import Path
from mmbench.leftovers import scratch_file, scratch_folder
target, kind = Path(sys.argv[1]), sys.argv[2]
with (scratch_folder if kind == "folder" else scratch_file)(target) as scratch:
    if kind == "folder":
        (scratch / "half").write_text("x")
        if target.exists():
            target.rename(scratch / "old")
    print("ready", flush=True)
    time.sleep(60)
"""


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_only_what_nobody_works_in_is_removed(tmp_path: Path, kind: str) -> None:
    target = tmp_path / ("board" if kind == "folder" else "card.json")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target), kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    try:
        (left,) = hidden(tmp_path)
        assert left.startswith(f".{target.stem}-")
        with (scratch_folder if kind == "folder" else scratch_file)(target) as own:
            assert set(hidden(tmp_path)) == {left, own.name}  # the other one lives
        assert hidden(tmp_path) == [left]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    for _ in range(100):  # the system takes the lock back soon after
        remove_leftovers(target)
        if not hidden(tmp_path):
            break
        time.sleep(0.05)
    assert hidden(tmp_path) == []


def test_what_was_set_aside_is_put_back(tmp_path: Path) -> None:
    """A process that is killed between two renames must not cost what stood there."""
    target = tmp_path / "board"
    target.mkdir()
    (target / "index.html").write_text("precious")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target), "folder"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not target.exists()
    with scratch_folder(target):
        pass
    assert (target / "index.html").read_text() == "precious"
    with pytest.raises(RuntimeError), scratch_folder(target) as scratch:
        target.rename(scratch / OLD)
        raise RuntimeError
    assert (target / "index.html").read_text() == "precious" and hidden(tmp_path) == []


def test_files_of_others_stay(tmp_path: Path) -> None:
    mine = [".card-original.json", ".card-backup12.json", ".cardigan-mmbench-12345678.json", ".git", "card"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("precious")
    (tmp_path / ".card-mmbench-abcdefgh.json").symlink_to(tmp_path / "outside")
    (tmp_path / ".card-mmbench-deadbeef.json").write_text("left")
    write_text(tmp_path / "card.json", "new")
    assert not (tmp_path / ".card-mmbench-deadbeef.json").exists()
    assert all((tmp_path / name).read_text() == "mine" for name in mine)
    assert (tmp_path / "outside" / "a").read_text() == "precious"


@pytest.mark.parametrize("name", ["x" * 240, "é" * 120, os.fsdecode(b"ni\xf1o"), "a.b.c", ".dot"])
def test_any_name_that_a_file_can_have(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with scratch_folder(tmp_path / "f" / name) as scratch:
        assert scratch.is_dir() and scratch.stat().st_mode & 0o777 == 0o755
    assert list((tmp_path / "f").iterdir()) == []
