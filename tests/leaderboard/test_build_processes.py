"""Builds run beside processes that write records: each board is whole, and none loses a record."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

from mmbench.leaderboard.build import build
from mmbench.records.store import ResultStore, read_result

GOLDEN = Path(__file__).parent / "golden" / "linear-mscn-schema1.json"


def write(root: Path, process: int, count: int) -> None:
    first, store = read_result(GOLDEN), ResultStore(root)
    for seed in range(process * count, (process + 1) * count):
        store.write(first.model_copy(update={"seed": seed, "wall_seconds": 10.0 + seed}))


def run(folder: Path, writers: int, count: int) -> list[int]:
    """Build boards while processes write `count` records each; return the records of each board."""
    results, board = folder / "results", folder / "board"
    write(results, writers, 1)  # so that the first build finds one
    context = multiprocessing.get_context("fork")
    writing = [context.Process(target=write, args=(results, place, count)) for place in range(writers)]
    for process in writing:
        process.start()
    found = []
    while True:
        finished = not any(process.is_alive() for process in writing)
        build(results, board, published=False)
        stated = json.loads((board / "board.json").read_text())
        assert {path.relative_to(board).as_posix() for path in board.rglob("*.*")} == set(stated["files"])
        found.append(stated["records"])
        if finished:
            break
    assert all(process.exitcode == 0 for process in writing)
    return found


def test_boards_are_built_while_eight_processes_write(tmp_path: Path) -> None:
    words = [sys.executable, __file__, str(tmp_path), "8", "50"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert len(found) >= 2 and found == sorted(found) and found[-1] == 400


if __name__ == "__main__":  # python tests/leaderboard/test_build_processes.py FOLDER PROCESSES RECORDS
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
