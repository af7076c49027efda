"""`mmbench watch`: every training state of a run is measured once, also one that the run deletes."""

import json
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from image_folders import write_images

from mmbench.cli.commands import main
from mmbench.neighbours import knn_scores
from mmbench.pretrain.api import run_pretraining
from mmbench.records.store import Result, ResultStore
from mmbench.runs import RunFolder
from mmbench.tools.following import Follower, FoundState, Schedule, is_running

KNN = ["--task", "knn", "--set", "neighbours=3"]


def run(arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


def pretend(folder: RunFolder, step: int) -> Path:
    path = folder.training / f"step-{step:08d}.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"state {step}")
    return path


@pytest.fixture
def begun(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    pretend(folder, 4)
    folder.settings.write_text("effective: {steps_per_epoch: 2, steps: 8}\n")
    return folder


def test_states_outlive_their_run(begun: RunFolder, tmp_path: Path) -> None:
    follower = Follower(begun, tmp_path / "mirror", pause=0.01)
    locked, leave = threading.Event(), threading.Event()

    def train() -> None:
        with begun.locked():
            locked.set()
            leave.wait(30)
            pretend(begun, 8)  # the last thing that a run does before it ends

    thread = threading.Thread(target=train)
    thread.start()
    locked.wait(30)
    assert is_running(begun)
    found: list[FoundState] = []
    with follower.states() as states:
        found.append(next(states))
        shutil.rmtree(begun.training)
        pretend(begun, 6)
        found.append(next(states))
        leave.set()
        found += list(states)
    thread.join()
    assert not is_running(begun)
    assert [(state.step, state.path.read_text()) for state in found] == [
        (4, "state 4"),
        (6, "state 6"),
        (8, "state 8"),
    ]
    assert follower.mirror.settings.read_text() == begun.settings.read_text()


def test_a_state_on_another_disk_is_copied(
    begun: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    follower = Follower(begun, tmp_path / "mirror", pause=0.01)
    with follower.states() as states:
        (state,) = list(states)
    begun.state_paths()[0].write_text("changed")
    assert state.path.read_text() == "state 4"


def test_schedule() -> None:
    schedule = Schedule(steps_per_epoch=4, steps=20)
    assert [schedule.place(step) for step in (4, 6, 20)] == ["epoch 1", "step 6", "epoch 5"]
    assert [step for step in (4, 6, 8, 12, 16, 20) if schedule.wants(step, 2)] == [8, 16, 20]
    assert [step for step in (4, 6, 8) if schedule.wants(step, 1)] == [4, 6, 8]
    assert schedule.missing({12, 18}) == [1, 2, 4]
    assert schedule.missing(set()) == []


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run of three epochs on 24 images, whose first state is gone; its folder is in the current one."""
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images")
    return pretrained(tmp_path / "runs" / "moco")


def pretrained(out: Path, **changed: Any) -> RunFolder:
    small = {"batch_size": 8, "framework.queue": 16, "image_size": 16, "trackers": []}
    return run_pretraining(
        *("moco", "images"),
        out=out,
        scale="small-images",
        epochs=3,
        device="cpu",
        overrides={**small, **changed},
        say=lambda line: None,
    )


def expected(folder: RunFolder, step: int, data: Any) -> float:
    """Return kNN top-1 of the query encoder in a state, computed here."""
    from mmbench.checkpoints.backbone import create_headless
    from mmbench.checkpoints.card import Preprocessing
    from mmbench.images.preprocessing import Preprocess, centre_crop

    state = torch.load(folder.training / f"step-{step:08d}.pth", weights_only=True)
    network = create_headless("mixmask_resnet8").eval()
    start = "backbone."
    network.load_state_dict(
        {k.removeprefix(start): v for k, v in state["framework"].items() if k.startswith(start)}
    )
    prepare = Preprocess(Preprocessing(image_size=16))
    with torch.no_grad():
        bank, queries = (
            network(prepare(centre_crop(data.split(name, 16, 16).images, 16))) for name in ("train", "test")
        )
    votes = knn_scores(queries, bank, data.labels("train"), 3, neighbours=3, temperature=0.1)
    return 100 * float((votes.argmax(dim=1) == data.labels("test")).double().mean())


def test_a_finished_run(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    from mmbench.data import load_dataset

    code, out, err = run(["watch", "runs/moco", *KNN, "--out", "results"], capsys)
    assert code == 0, err
    assert "moco @ epoch 2: knn" in out and "moco @ epoch 3: knn" in out
    assert "runs/moco is finished: 2 records of its states in results" in out
    assert "not measured, since their states were gone: epoch 1; runs keep" in err
    records: dict[str, Result] = {result.model.arm: result for result in ResultStore(Path("results"))}
    assert set(records) == {"moco @ epoch 2", "moco @ epoch 3"}
    data = load_dataset("images")
    for epoch in (2, 3):
        record = records[f"moco @ epoch {epoch}"]
        assert (record.model.epochs, record.model.seed, record.model.method) == (epoch, 0, "moco")
        assert record.metrics["top1"].value == pytest.approx(expected(finished, 3 * epoch, data))
    before = sorted(path.name for path in Path("results").rglob("*"))
    code, _, _ = run(["watch", "runs/moco", *KNN, "--out", "results", "--every", "3"], capsys)
    assert code == 0 and sorted(path.name for path in Path("results").rglob("*")) == before
    code, out, _ = run(
        ["leaderboard", "build", "results", "--out", "board", "--baseline", "moco @ epoch 2"], capsys
    )
    assert code == 0 and "moco @ epoch 3" in (Path("board") / "leaderboard.md").read_text()


def test_lost_epochs_are_named_though_another_run_has_them(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained(tmp_path / "rate", keep_states=3, **{"optimiser.lr": 0.0005})
    pretrained(tmp_path / "seed", keep_states=3, seed=1)
    pretrained(tmp_path / "same", keep_states=3)
    lost = "their states were gone: epoch 1;"
    for other, named in (("rate", True), ("seed", True), ("same", False)):
        code, out, err = run(["watch", other, *KNN, "--out", "results"], capsys)
        assert code == 0 and "3 records" in out and lost not in err
        code, _, err = run(["watch", "runs/moco", *KNN, "--out", "results"], capsys)
        assert code == 0 and (lost in err) == named, (other, err)
    made = RunFolder(tmp_path / "same")
    digest = json.loads(made.card.read_text())["recipe_digest"]
    cards = [result.model for result in ResultStore(Path("results"))]
    assert {card.seed for card in cards if card.recipe_digest == digest} == {0, 1}
    assert len({card.recipe_digest for card in cards}) == 2


def test_lost_epochs_are_named_though_another_task_or_data_set_has_them(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "others", seed=1)
    pretrained(tmp_path / "same", keep_states=3)
    code, _, err = run(["watch", "same", *KNN, "--out", "results"], capsys)
    assert code == 0, err
    lost = "their states were gone: epoch 1;"
    for changed, named in (
        (KNN, False),
        ([*KNN, "--seeds", "0,1"], True),
        ([*KNN, "--data", "others"], True),
        (["--task", "knn", "--set", "neighbours=2"], True),
        (["--task", "lowshot", "--set", "draws=1", "--set", "shots=[1]"], True),
    ):
        code, _, err = run(["watch", "runs/moco", *changed, "--out", "results"], capsys)
        assert code == 0 and (lost in err) == named, (changed, err)


def test_the_data_are_those_that_the_run_learned_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmbench.data import load_dataset
    from mmbench.data.patterns import PatternsConfig, prepare

    monkeypatch.chdir(tmp_path)
    load_dataset.cache_clear()
    for root, draw in (("data", 0), ("other", 5)):
        small = PatternsConfig(seed=draw, train=40, val=20, test=20)
        prepare(tmp_path / root / "patterns", small)
    learned, other = (load_dataset("patterns", Path(root)).fingerprint for root in ("other", "data"))
    assert learned != other
    run_pretraining(
        *("moco", "patterns"),
        out=Path("run"),
        data_root="other",
        epochs=1,
        device="cpu",
        overrides={"batch_size": 16, "framework.queue": 16, "image_size": 16, "trackers": []},
        say=lambda line: None,
    )
    code, _, err = run(["watch", "run", *KNN, "--out", "own"], capsys)
    assert code == 0, err
    (record,) = ResultStore(Path("own"))
    assert record.dataset.fingerprint == record.model.pretrain_fingerprint == learned
    for typed in (["--data", "patterns"], ["--data-root", "data"]):
        code, _, err = run(["watch", "run", *KNN, *typed, "--out", "refused"], capsys)
        assert code == 2 and err.count("\n") == 1, err
        assert "data set patterns is not the one that run learns from" in err
    assert not list(Path().glob("refused/**/*.json"))
    write_images(tmp_path / "images")
    code, _, err = run(["watch", "run", *KNN, "--data", "images", "--out", "named"], capsys)
    assert code == 0, err
    assert [result.dataset.name for result in ResultStore(Path("named"))] == ["images"]
    load_dataset.cache_clear()  # its key is a path that means another place in other tests


def test_bad_requests_are_one_line(
    begun: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images")
    empty = RunFolder(tmp_path / "empty")
    empty.root.mkdir()
    empty.settings.write_text(
        yaml.safe_dump({"method": "moco", "effective": {"steps_per_epoch": 2, "steps": 8}})
    )
    old = RunFolder(tmp_path / "old")
    old.root.mkdir()
    old.settings.write_text("method: moco\n")
    for arguments, words in (
        (["watch", "nowhere", "--task", "knn"], "nowhere is not a run folder"),
        (["watch", "empty", "--task", "knn"], "no process trains in empty, and it has no training state"),
        (["watch", "old", "--task", "knn"], "do not say how many steps an epoch has"),
        (["watch", "run", "--task", "knnn"], "did you mean 'knn'"),
        (["watch", "run", "--task", "knn", "--set", "k=3"], "unknown setting"),
        (["watch", "run", "--task", "knn", "--arm", "a/b"], "has the separator '/'"),
        (["watch", "run"], "Missing option '--task'"),
    ):
        code, _, err = run(arguments, capsys)
        assert code == 2 and words in err and err.count("\n") == 1, err
    code, out, err = run(["watch", "run", *KNN, "--data", "images"], capsys)  # its state is no state
    assert code == 1 and "@ epoch 2: " in err and "1 state could not be measured" in err
    assert "Traceback" not in err and "not running, and not finished: 0 records" in out
