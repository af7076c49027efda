"""Pretrainings over several processes: the command, restarts, stops, and what a node and a job run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from mmbench.errors import UserError
from mmbench.pretrain.command import pretrain as pretrain_click
from mmbench.runs import RunFolder
from mmbench.tools.suite.definition.suite import RunSettings, Suite
from mmbench.tools.suite.execution import several_processes
from mmbench.tools.suite.execution.node import rendezvous
from mmbench.tools.suite.execution.several_processes import (
    LocalProcesses,
    pretrain_command,
    pretrain_in_processes,
    recorded_processes,
    user_error,
)
from mmbench.tools.suite.execution.slurm_job import job_script
from mmbench.tools.suite.execution.work import Job, Place, Stop
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork, work_id
from mmbench.tools.suite.planning.plan import plan_of

SETTINGS = {"optimiser.lr": 0.03, "trackers": ["tensorboard"], "optimiser.reference_batch": None}
WORK = PretrainWork(
    arm="a b", seed=3, data="patterns", method="moco", scale="small-images", settings=SETTINGS, processes=2
)


def job(root: Path, **run: object) -> Job:
    cell = Cell(name="moco-seed3", work=WORK, seconds=1)
    SuiteFolder(root).logs.mkdir(parents=True, exist_ok=True)
    settings = RunSettings.model_validate({"pretraining": {"processes_per_node": 2}, **run})
    place = Place(root, root / "data", settings)
    return Job(cell, place, lambda done, total, words: None, lambda line: None, Stop())


def finish(run: RunFolder) -> None:
    run.root.mkdir(parents=True, exist_ok=True)
    run.weights.touch()
    run.card.touch()


def test_one_process_leaves_the_ids_of_cells_as_they_were() -> None:
    alone = WORK.model_copy(update={"processes": 1})
    assert "processes" not in alone.model_dump(mode="json")
    assert WORK.model_dump(mode="json")["processes"] == 2
    assert work_id(alone) != work_id(WORK)
    around = [
        TransferWork(
            arm="a",
            weights=one,
            weights_seed=3,
            data="patterns",
            task="knn",
            protocol="knn/patterns@2",
            seed=0,
        )
        for one in (alone, WORK)
    ]
    assert "processes" not in around[0].model_dump(mode="json")["weights"]
    assert work_id(around[0]) != work_id(around[1])


def test_every_pretraining_of_a_plan_has_the_processes_of_all_nodes() -> None:
    suite = {
        "name": "small",
        "data": ["patterns"],
        "arch": "mixmask_resnet8",
        "arms": [{"name": "moco", "pretrain": {"method": "moco"}}],
        "tasks": ["knn"],
        "run": {"executor": "slurm", "pretraining": {"nodes": 2, "processes_per_node": 3}},
    }
    works = [cell.work for cell in plan_of(Suite.model_validate(suite)).cells]
    assert [work.processes for work in works if isinstance(work, PretrainWork)] == [6]
    with pytest.raises(
        UserError, match=r"pretraining\.nodes is 2, and only Slurm starts jobs on several nodes"
    ):
        plan_of(Suite.model_validate({**suite, "run": {"pretraining": {"nodes": 2}}}))


def test_the_command_states_what_the_work_states(tmp_path: Path) -> None:
    command = pretrain_command(job(tmp_path), WORK, tmp_path / "run")
    assert command[:3] == ["-m", "mmbench", "pretrain"]
    with pretrain_click.make_context("pretrain", command[3:]) as context:
        assert isinstance(context, click.Context)
        stated = context.params
    expected = {
        "method": "moco",
        "scale": "small-images",
        "arch": None,
        "data": "patterns",
        "data_root": tmp_path / "data",
        "epochs": None,
        "seed": 3,
        "threads": 1,
        "out": tmp_path / "run",
    }
    assert {name: stated[name] for name in expected} == expected
    pairs = dict(text.split("=", 1) for text in stated["overrides"])
    assert {name: json.loads(text) for name, text in pairs.items()} == SETTINGS


def test_the_command_follows_the_version_of_the_seeds_before(tmp_path: Path) -> None:
    work = WORK.model_copy(update={"scale": "cifar100"})
    before = SuiteFolder(tmp_path).runs / work.model_copy(update={"seed": 0}).folder
    before.mkdir(parents=True)
    (before / "settings.yaml").write_text("{recipe: moco-cifar100@1, seed: 0}")
    command = pretrain_command(job(tmp_path), work, tmp_path / "run")
    assert "--method=moco-cifar100@1" in command and not any(word.startswith("--scale") for word in command)


class Scripted:
    """An attempt that is over at once."""

    waits = ""

    def __init__(self, output: Path, text: str = "") -> None:
        self.output = output
        output.write_text(text)

    def is_over(self) -> bool:
        return True

    def ask_to_stop(self) -> None: ...

    kill = ask_to_stop


def scripted(monkeypatch: pytest.MonkeyPatch, root: Path, *attempts: Callable[[], str]) -> list[int]:
    """Let attempts do this, the last one again and again; return a list with an entry for each."""
    begun: list[int] = []

    def start(*_: object) -> Scripted:
        begun.append(len(begun))
        return Scripted(root / "output.log", attempts[min(len(begun), len(attempts)) - 1]())

    monkeypatch.setattr(several_processes, "_start", start)
    return begun


def test_lost_processes_are_started_again_as_long_as_there_is_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / "run")
    run.training.mkdir(parents=True)

    def saved(step: int) -> Callable[[], str]:
        def attempt() -> str:
            (run.training / f"step-{step:08d}.pth").touch()
            return "killed"

        return attempt

    def finished() -> str:
        finish(run)
        return ""

    begun = scripted(monkeypatch, tmp_path, *map(saved, (5, 10, 15)), finished)
    pretrain_in_processes(job(tmp_path, retries=1), WORK, run)
    assert len(begun) == 4
    run.weights.unlink()
    begun = scripted(monkeypatch, tmp_path, saved(15))
    with pytest.raises(UserError, match=r"ended 3 times without progress; see .*output\.log"):
        pretrain_in_processes(job(tmp_path, retries=2), WORK, run)
    assert len(begun) == 3


def test_an_error_for_the_user_ends_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "W1126 torchrun\nError: no data; get some\nTraceback\nE1126 failed\n"
    begun = scripted(monkeypatch, tmp_path, lambda: text)
    with pytest.raises(UserError, match=r"^no data; get some$"):
        pretrain_in_processes(job(tmp_path), WORK, RunFolder(tmp_path / "run"))
    assert len(begun) == 1
    assert user_error(tmp_path / "missing.log") is None


def test_a_stop_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, tmp_path, lambda: "Error: interrupted")
    stopped = job(tmp_path)
    stopped.stop.asked = True
    with pytest.raises(KeyboardInterrupt):
        pretrain_in_processes(stopped, WORK, RunFolder(tmp_path / "run"))


RANK = """
import os, pathlib, signal, sys, time
folder, rank = pathlib.Path(sys.argv[1]), os.environ["RANK"]
def note(*_):
    with open(folder / f"signals-{rank}", "a") as stream:
        stream.write("SIGTERM\\n")
signal.signal(signal.SIGTERM, note)
(folder / f"rank-{rank}-of-{os.environ['WORLD_SIZE']}").touch()
while not (folder / f"signals-{rank}").exists():
    time.sleep(0.05)
time.sleep(1)  # a second signal would be noted
"""


def test_a_stop_reaches_every_process_once_through_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rank.py").write_text(RANK)
    command = [str(tmp_path / "rank.py"), str(tmp_path)]
    monkeypatch.setattr(several_processes, "pretrain_command", lambda *_: command)
    asked = job(tmp_path)

    def stop_when_all_are_there() -> None:
        while len(list(tmp_path.glob("rank-*-of-2"))) < 2:
            threading.Event().wait(0.05)
        asked.stop.asked = True

    threading.Thread(target=stop_when_all_are_there, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        pretrain_in_processes(asked, WORK, RunFolder(tmp_path / "run"))
    assert [(tmp_path / f"signals-{rank}").read_text() for rank in "01"] == ["SIGTERM\n"] * 2


def test_what_an_earlier_attempt_left_is_ended_first(tmp_path: Path) -> None:
    (tmp_path / "rank.py").write_text("import time; time.sleep(600)")
    left = LocalProcesses(job(tmp_path), job(tmp_path).place.run.pretraining, [str(tmp_path / "rank.py")])
    (tmp_path / "rank.py").write_text("")
    later = LocalProcesses(job(tmp_path), job(tmp_path).place.run.pretraining, [str(tmp_path / "rank.py")])
    assert left.is_over()
    while not later.is_over():
        threading.Event().wait(0.05)


def test_a_run_says_by_how_many_processes_it_was_trained(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert recorded_processes(run) is None
    run.settings.write_text("effective: {processes: 4, steps: 10}")
    assert recorded_processes(run) == 4
    run.settings.write_text("seed: 0")
    assert recorded_processes(run) is None


SCONTROL = """#!/bin/sh
case "$2" in
hostnames) printf 'node7\\nnode8\\n' ;;
node) echo "NodeName=$3 Arch=x86_64 NodeAddr=10.0.0.${3#node} State=IDLE" ;;
esac
"""


def test_nodes_meet_at_the_address_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rendezvous({}) == ["--standalone"]
    assert rendezvous({"SLURM_STEP_NUM_NODES": "1", "SLURM_JOB_ID": "5"}) == ["--standalone"]
    (tmp_path / "scontrol").write_text(SCONTROL)
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    job_of_two = {"SLURM_STEP_NUM_NODES": "2", "SLURM_JOB_ID": "12005", "SLURM_STEP_NODELIST": "node[7-8]"}
    found = []
    for number, name in enumerate(("node7", "node8")):
        node = {"SLURM_NODEID": str(number), "SLURMD_NODENAME": name, "SLURM_RESTART_COUNT": "1"}
        words = rendezvous({**job_of_two, **node})
        found.append(dict(zip(words[::2], words[1::2], strict=True)))
    assert {name for name in found[0] if found[0][name] != found[1][name]} == {"--rdzv-conf", "--local-addr"}
    assert found[0]["--rdzv-endpoint"] == "10.0.0.7:20005"
    assert found[0]["--rdzv-id"] == "12005-1"
    assert [one["--rdzv-conf"] for one in found] == ["is_host=1", "is_host=0"]
    assert [one["--local-addr"] for one in found] == ["10.0.0.7", "10.0.0.8"]


def test_the_script_of_a_job_asks_for_its_nodes(tmp_path: Path) -> None:
    slurm = {
        "partition": "gpu",
        "time": "01:00:00",
        "options": ["--gres=gpu:1"],
        "prepare": ["module load x"],
    }
    launch = {"nodes": 2, "processes_per_node": 4, "time": "2-00:00:00", "options": ["--gres=gpu:4"]}
    asked = job(tmp_path, executor="slurm", threads=3, slurm=slurm, pretraining=launch)
    script = job_script(asked, asked.place.run.pretraining, ["-m", "x y"], "name", tmp_path / "job.log")
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    options = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")}
    assert options == {
        "--job-name=name",
        "--partition=gpu",
        "--time=2-00:00:00",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=12",
        f"--output={tmp_path / 'job.log'}",
        "--open-mode=append",
        "--requeue",
        "--gres=gpu:4",
    }
    assert lines[-2] == "module load x"
    assert lines[-1].startswith("exec srun")
    assert lines[-1].endswith("-m mmbench.tools.suite.execution.node 4 -m 'x y'")
