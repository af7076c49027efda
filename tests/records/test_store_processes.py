"""Processes write into one folder of results while others read it: nothing is lost, nothing is half read."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path

from mmbench.records.store import ResultStore, read_result

GOLDEN = Path(__file__).parents[1] / "leaderboard" / "golden" / "linear-mscn-schema1.json"
PAUSE = 0.1  # seconds between two readings, so that writing gets its turn


def write(root: Path, process: int, count: int) -> None:
    first, store = read_result(GOLDEN), ResultStore(root)
    for seed in range(count):
        store.write(first.model_copy(update={"seed": process * count + seed}))


def read_until(root: Path, finished: Event, found: SimpleQueue[list[str]]) -> None:
    """Read the folder again and again until all is written; return what was wrong."""
    problems: list[str] = []
    seen = 0
    while not finished.is_set():
        records, invalid = ResultStore(root).read_all()
        problems += map(str, invalid)
        if len(records) < seen:
            problems.append(f"{seen} records, then {len(records)}")
        seen = len(records)
        time.sleep(PAUSE)
    found.put(problems[:3])


def run(root: Path, writers: int, count: int) -> None:
    """Write `count` records in each of some processes, while two others read."""
    context = multiprocessing.get_context("fork")
    found: SimpleQueue[list[str]] = context.SimpleQueue()
    finished = context.Event()
    writing = [context.Process(target=write, args=(root, place, count)) for place in range(writers)]
    reading = [context.Process(target=read_until, args=(root, finished, found)) for _ in range(2)]
    for process in (*reading, *writing):
        process.start()
    for process in writing:
        process.join()
    finished.set()
    assert [found.get() for _ in reading] == [[], []]
    for process in reading:
        process.join()
    assert all(process.exitcode == 0 for process in (*writing, *reading))
    records, invalid = ResultStore(root).read_all()
    assert invalid == []
    assert sorted(record.seed for _, record in records) == list(range(writers * count))
    assert [path for path in root.rglob("*") if path.name.startswith(".")] == []


def test_processes_write_while_others_read(tmp_path: Path) -> None:
    words = [sys.executable, __file__, str(tmp_path / "results"), "4", "100"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / "results").rglob("*.json"))) == 400


if __name__ == "__main__":  # python tests/records/test_store_processes.py FOLDER PROCESSES RECORDS
    run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
