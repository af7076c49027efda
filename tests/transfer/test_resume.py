"""A training that was interrupted goes on as if it had not been."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from running import run_task

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, load_dataset
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.runs import RunFolder
from mmbench.transfer import resume as unfinished
from mmbench.transfer.inputs import images as image_inputs

RUNS = {
    "linear/moco@1": {"epochs": 4, "batch_size": 50, "learning_rate": 1.0, "decay_epochs": [2]},
    "linear/moco-sweep@1": {"epochs": 4, "batch_size": 50, "learning_rates": [0.1, 1.0]},
    "linear/sweep@1": {"epochs": 4, "batch_size": 50, "learning_rates": [0.1, 1.0]},
    "linear/patterns@2": {"weight_decays": [3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001], "patience": 9},
    "logreg/lbfgs@2": {"candidates": 8, "weakest": 0.001},
    "logreg/lbfgs@3": {"candidates": 8, "weakest": 0.001},
    "logreg/lbfgs@4": {"candidates": 8, "weakest": 0.001},
    "finetune/patterns@1": {"epochs": 4, "batch_size": 50},
    "semisup/patterns-10pct@1": {"epochs": 8, "batch_size": 6},
}


def run(protocol: str, backbone: Backbone, dataset: Dataset, folder: Path, **more: Any) -> Result:
    return run_task(
        protocol.partition("/")[0],
        backbone,
        dataset,
        ResultStore(folder / "results"),
        work=folder / "work",
        protocol_id=protocol,
        overrides=RUNS[protocol],
        device=torch.device("cpu"),
        **more,
    )


class StopAt:
    """Reports progress; at a step of the training it sends this process a signal, as a scheduler does."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGTERM) -> None:
        self.step, self.number, self.steps = step, number, list[int]()

    def __call__(self, done: int, total: int, words: str) -> None:
        if "features" in words:
            return
        self.steps.append(done)
        if done == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("protocol", RUNS)
def test_a_stopped_run_goes_on_to_the_same_last_digit(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, protocol: str
) -> None:
    whole = run(protocol, backbone, gratings, tmp_path / "whole")
    stop, rest = StopAt(1 if protocol == "linear/sweep@1" else 5), StopAt(-1)
    with pytest.raises(KeyboardInterrupt):
        run(protocol, backbone, gratings, tmp_path / "parts", report=stop)
    hidden = tmp_path / "parts" / "results" / ".unfinished"
    assert 1 <= len(list(hidden.rglob("step-*.pth"))) <= 2
    assert not list((tmp_path / "parts").rglob("*.json"))
    parts = run(protocol, backbone, gratings, tmp_path / "parts", report=rest)
    assert rest.steps[0] > stop.steps[-1]
    assert parts.metrics == whole.metrics and parts.notes == whole.notes
    assert parts.outcomes == whole.outcomes is not None
    assert not hidden.exists()


def test_what_takes_no_steps_is_stopped_at_once(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feature pass has no step to finish, and goes on from what the bank holds of it."""
    seen = list[int]()

    def stop_at_the_first_batch(done: int, total: int, words: str) -> None:
        seen.append(done)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setitem(RUNS, "knn/patterns@1", {})
    with pytest.raises(KeyboardInterrupt):
        run("knn/patterns@1", backbone, gratings, tmp_path, report=stop_at_the_first_batch)
    assert len(seen) == 1
    assert not (tmp_path / "results").exists()


def test_files_go_on_exactly_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_inputs, "LARGEST_IN_MEMORY", 8)
    for split in ("train", "val", "test"):
        for name in ("dark", "light"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for index in range(12):
                noise = torch.randint(0, 128, (30, 40, 3), generator=torch.Generator().manual_seed(index))
                pixels = (noise + 127 * (name == "light")).to(torch.uint8)
                Image.fromarray(pixels.numpy()).save(tmp_path / "data" / split / name / f"{index}.png")
    dataset = load_dataset(str(tmp_path / "data"))
    backbone = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=16))
    monkeypatch.setitem(RUNS, "linear/moco@1", {"epochs": 3, "batch_size": 7, "learning_rate": 0.1})
    whole = run("linear/moco@1", backbone, dataset, tmp_path / "whole", workers=0)
    with pytest.raises(KeyboardInterrupt):
        run("linear/moco@1", backbone, dataset, tmp_path / "parts", report=StopAt(6), workers=2)
    parts = run("linear/moco@1", backbone, dataset, tmp_path / "parts", workers=1)
    assert parts.metrics == whole.metrics


def test_a_killed_run_loses_no_more_than_a_minute(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the process just ends, the newest state that was saved in time is taken."""
    monkeypatch.setattr(unfinished, "SAVE_EVERY_SECONDS", 0.0)

    class Killed(BaseException): ...

    def end_at_seven(done: int, total: int, words: str) -> None:
        if done == 7 and "features" not in words:
            raise Killed

    whole = run("finetune/patterns@1", backbone, gratings, tmp_path / "whole")
    with pytest.raises(Killed):
        run("finetune/patterns@1", backbone, gratings, tmp_path / "parts", report=end_at_seven)
    states = sorted(path.name for path in (tmp_path / "parts").rglob("step-*.pth"))
    assert states == ["step-00000005.pth", "step-00000006.pth"]
    rest = StopAt(-1)
    assert run("finetune/patterns@1", backbone, gratings, tmp_path / "parts", report=rest).metrics == (
        whole.metrics
    )
    assert rest.steps[0] == 7


def test_two_runs_of_the_same_are_refused(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    def again(done: int, total: int, words: str) -> None:
        run("finetune/patterns@1", backbone, gratings, tmp_path)

    with pytest.raises(UserError, match="another process is training in"):
        run("finetune/patterns@1", backbone, gratings, tmp_path, report=again)


def test_a_full_disk_is_one_line_and_loses_nothing(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "SAVE_EVERY_SECONDS", 0.0)
    save, saved = RunFolder.save_state, list[int]()

    def full(self: RunFolder, state: dict[str, Any], step: int, keep: int = 2) -> Path:
        if step == 3:
            raise OSError(28, "No space left on device")
        saved.append(step)
        return save(self, state, step, keep)

    monkeypatch.setattr(RunFolder, "save_state", full)
    with pytest.raises(UserError, match=r"the state of step 3 cannot be written .* free some space"):
        run("finetune/patterns@1", backbone, gratings, tmp_path)
    states = sorted(path.name for path in tmp_path.rglob("step-*.pth"))
    assert states == ["step-00000001.pth", "step-00000002.pth"]


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_state_is_skipped_and_noted(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: int
) -> None:
    monkeypatch.setattr(unfinished, "SAVE_EVERY_SECONDS", 0.0)
    whole = run("finetune/patterns@1", backbone, gratings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run("finetune/patterns@1", backbone, gratings, tmp_path / "parts", report=StopAt(6))
    states = sorted((tmp_path / "parts").rglob("step-*.pth"), reverse=True)
    for state in states[:damaged]:
        content = bytearray(state.read_bytes())
        content[len(content) // 2] ^= 1
        state.write_bytes(content)
    rest = StopAt(-1)
    result = run("finetune/patterns@1", backbone, gratings, tmp_path / "parts", report=rest)
    assert result.metrics == whole.metrics
    assert rest.steps[0] == (6 if damaged == 1 else 1)
    assert sum("cannot be read" in note for note in result.notes) == damaged
    assert ("starts from the beginning" in " ".join(result.notes)) == (damaged == 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("protocol", [name for name in RUNS if name != "semisup/patterns-10pct@1"])
def test_a_stop_after_the_last_step_is_heeded(
    backbone: Backbone,
    gratings: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    number: signal.Signals,
) -> None:
    """Between a training's end and its record there is no step that could heed it."""
    whole = run(protocol, backbone, gratings, tmp_path / "whole")
    ended = unfinished.Unfinished.after_training

    def end(self: unfinished.Unfinished, *arguments: Any) -> None:
        ended(self, *arguments)
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(unfinished.Unfinished, "after_training", end)
        with pytest.raises(KeyboardInterrupt):
            run(protocol, backbone, gratings, tmp_path / "parts")
    assert not list((tmp_path / "parts").rglob("*@*/*.json"))
    assert run(protocol, backbone, gratings, tmp_path / "parts").metrics == whole.metrics


def test_a_stop_in_the_last_step_is_heeded_and_costs_nothing(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when the last step has looked for one already: the state is saved all the same."""
    ended = unfinished.Unfinished.after_training

    def end(self: unfinished.Unfinished, *arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        ended(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(unfinished.Unfinished, "after_training", end)
        with pytest.raises(KeyboardInterrupt):
            run("finetune/patterns@1", backbone, gratings, tmp_path)
    rest = StopAt(-1)
    run("finetune/patterns@1", backbone, gratings, tmp_path, report=rest)
    assert rest.steps == []


def test_a_second_stop_does_not_wait_for_the_step(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    seen = list[int]()

    def twice(done: int, total: int, words: str) -> None:
        seen.append(done)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the second one must not come back")

    with pytest.raises(KeyboardInterrupt):
        run("finetune/patterns@1", backbone, gratings, tmp_path, report=twice)
    assert len(seen) == 1
