"""How far a suite is: counts, what runs, what failed, what waits for it, and the time left."""

import os
from pathlib import Path

import pytest

from mmbench.processes import host_name
from mmbench.tools.suite.definition.suite import Arm, Suite
from mmbench.tools.suite.folder import CellState, Status, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork
from mmbench.tools.suite.planning.plan import Plan, found_states
from mmbench.tools.suite.snapshot import Snapshot, left_alone, snapshot

SUITE = Suite(name="small", data=("patterns",), arms=(Arm(checkpoint="random"),), tasks=("knn",))


def pretraining(arm: str, seconds: float) -> Cell:
    work = PretrainWork(arm=arm, seed=0, data="patterns", method=arm)
    return Cell(name=f"{arm}-seed0", work=work, seconds=seconds)


def transfer(cell: Cell, task: str, seconds: float) -> Cell:
    work = TransferWork(
        arm="x", weights=cell.work, weights_seed=0, data="patterns", task=task, protocol="p@1", seed=0
    )
    return Cell(name=f"{cell.name} {task}", work=work, after=(cell.id,), seconds=seconds)


MOCO, MSCN = pretraining("moco", 100), pretraining("mscn", 100)
CELLS = (MOCO, MSCN, *(transfer(cell, task, 20) for cell in (MOCO, MSCN) for task in ("knn", "linear")))
PLAN = Plan(SUITE, CELLS)


def state(cell: Cell, status: Status, **facts: object) -> CellState:
    usual = {"host": host_name(), "pid": os.getpid(), "started": 1000.0, "changed": 1000.0}
    return CellState.model_validate({"id": cell.id, "name": cell.name, "status": status, **usual, **facts})


def seen(*states: CellState, workers: int = 2, gone: tuple[str, ...] = ()) -> Snapshot:
    found = {one.id: one for one in states}
    return snapshot(PLAN, found, SuiteFolder(Path("x")), workers=workers, gone=gone, now=1060.0)


def test_nothing_begun() -> None:
    now = seen()
    assert now.number("waiting") == now.number() == 6 and now.share == 0
    assert now.counts["pretrain"]["waiting"] == 2 and now.counts["transfer"]["waiting"] == 4
    assert now.seconds_left == pytest.approx((2 * 100 + 4 * 20) / 2)


def test_the_estimates_are_scaled_by_the_speed_so_far() -> None:
    done = state(MOCO, "done", seconds=150.0)
    half = state(MSCN, "running", done=50, total=100, words="loss 4.1  812 images/s")  # 60 s for 50 of 100
    now = seen(done, half)
    slowness = (150 + 60) / (100 + 50)
    assert now.seconds_left == pytest.approx(slowness * (50 + 4 * 20) / 2)
    assert now.share == pytest.approx((100 + 50) / 280)
    (running,) = now.running
    assert running.rate == "812 images/s" and running.report == "loss 4.1  812 images/s"
    assert running.share == 0.5 and running.seconds == 60


def test_a_result_that_was_found_says_nothing_of_the_speed() -> None:
    assert seen(state(MOCO, "done", seconds=1.0)).seconds_left == pytest.approx((100 + 80) / 2)


@pytest.mark.parametrize(
    ("facts", "rate"),
    [
        ({"done": 30, "total": 90, "words": "fit"}, "2.0 s each"),
        ({"done": 600, "total": 900}, "10.0/s"),
        ({"done": 0, "total": 1, "words": "starting"}, ""),
        ({"done": 600, "total": 900, "attempt": 2}, ""),  # where this attempt began is not known
    ],
)
def test_the_rate_of_a_running_cell(facts: dict[str, object], rate: str) -> None:
    (cell,) = seen(state(MOCO, "running", **facts)).running
    assert cell.rate == rate and cell.report == f"{rate}  {facts.get('words', '')}".strip()


def test_what_waits_for_a_failed_cell_is_blocked_and_not_counted_in_the_time() -> None:
    now = seen(state(MOCO, "failed", error="not finite"), workers=1)
    assert [(cell.name, cell.error) for cell in now.failed] == [("moco-seed0", "not finite")]
    assert now.failed[0].log == f"x/logs/{MOCO.id}.log"
    assert {(cell.name, cell.failed) for cell in now.blocked} == {
        ("moco-seed0 knn", "moco-seed0"),
        ("moco-seed0 linear", "moco-seed0"),
    }
    assert now.seconds_left == pytest.approx(100 + 2 * 20)


def test_a_cell_without_a_process_is_interrupted() -> None:
    now = seen(state(MOCO, "running", done=1, total=2), state(MSCN, "stopped"), gone=(MOCO.id,))
    assert now.interrupted == ("moco-seed0", "mscn-seed0") and not now.running
    assert now.share == pytest.approx(50 / 280)


def test_as_json_names_every_number() -> None:
    found = seen(state(MOCO, "failed", error="e"), state(MSCN, "running")).as_json()
    assert found["counts"] == {
        **{"done": 0, "running": 1, "interrupted": 0, "failed": 1, "blocked": 2, "waiting": 2}
    }
    assert sum(found["counts"].values()) == found["cells"] == 6
    assert found["kinds"]["pretrain"]["failed"] == 1 and found["running"][0]["name"] == "mscn-seed0"


def test_which_running_cells_have_lost_their_process(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    folder.cells.mkdir()
    here, elsewhere, unlocked = (cell for cell in CELLS[:3])
    dead = CELLS[3]
    for cell in (here, elsewhere, dead):
        folder.lock(cell.id).touch()
    states = [
        state(here, "running"),
        state(elsewhere, "running", host="another-host"),
        state(unlocked, "running"),
        state(dead, "running", pid=2**22 + 1),  # above Linux's largest
        state(CELLS[4], "stopped"),
    ]
    found = {one.id: one for one in states}
    assert left_alone(found, folder) == {unlocked.id, dead.id}
    os.utime(folder.lock(elsewhere.id), (0, 0))
    assert left_alone(found, folder) == {unlocked.id, dead.id, elsewhere.id}


def test_a_done_cell_counts_only_while_its_result_is_there(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    (tmp_path / "kept.json").write_text("{}")
    kept, lost, failed, half = CELLS[2], CELLS[3], CELLS[4], MOCO
    for cell, left in ((kept, "kept.json"), (lost, "lost.json"), (half, "runs/moco-seed0")):
        folder.write(state(cell, "done", left=left))
    folder.write(state(failed, "failed", error="e"))
    folder.write(state(MSCN, "failed").model_copy(update={"id": "0" * 16}))  # of another suite
    assert found_states(PLAN, folder).keys() == {kept.id, failed.id}
