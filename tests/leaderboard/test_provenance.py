"""Code, machine and packages of runs: each kind once on the board, and named by every run."""

from collections.abc import Callable
from pathlib import Path

from mmbench.leaderboard.build import read_board
from mmbench.records.store import Result


def test_runs_name_what_they_were_measured_with(
    record: Callable[..., Result], write: Callable[..., Path]
) -> None:
    made = record("moco").provenance
    other = made.model_copy(update={"git_sha": None, "git_dirty": None, "packages": {"torch": "2.16.0"}})
    dirty = made.model_copy(update={"git_dirty": True, "cpu_count": 64})
    used = {("moco", 0): made, ("moco", 1): other, ("mscn", 0): dirty, ("mscn", 1): made}
    results = write(*(record(arm, seed=seed, provenance=how) for (arm, seed), how in used.items()))
    board = read_board(results, "mscn", published=False)
    assert len(board.provenances) == len(set(board.provenances)) == 3
    seen = 0
    for (name, _), cell in board.cells.items():
        for run in cell.runs:
            assert run.provenance is not None and run.pretraining_seed is not None
            found, how = dict(board.provenances[run.provenance]), used[name, run.pretraining_seed]
            assert found["processor"] == f"{how.processor}, {how.cpu_count} cores"
            assert found["packages"] == ", ".join(
                f"{key} {value}" for key, value in sorted(how.packages.items())
            )
            commit = "outside a checkout" if how.git_sha is None else how.git_sha[:12]
            assert found["git commit"] == commit + (" + uncommitted changes" if how.git_dirty else "")
            seen += 1
    assert seen == 4
    commits = dict(board.environment)["git commit"]
    assert commits[0] == f"{str(made.git_sha)[:12]} (2 of 4 records)" and len(commits) == 3
    assert dict(board.environment)["mmbench"] == ("0.1.0",)
