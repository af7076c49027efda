"""What a run tells, measures and writes on its way."""

import resource
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
import torch
import yaml
from small_runs import make_trainer, same, small, stopped
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmbench.checkpoints.card import ModelCard
from mmbench.data import Dataset, ImageSplit
from mmbench.device import has_bfloat16
from mmbench.environment import software
from mmbench.errors import MachineError, UserError
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.knn_monitor import KnnMonitor
from mmbench.pretrain.session import Requests, faster_reading
from mmbench.pretrain.sources.memory import MemorySource
from mmbench.runs import RunFolder, read_metrics


def test_what_the_settings_come_to_is_told_and_recorded(finished: RunFolder, tiny: Dataset) -> None:
    recorded = yaml.safe_load(finished.settings.read_text())
    assert recorded["effective"] == {
        "images": 96,
        "batch": 16,
        "processes": 1,
        "images_per_pass": 16,
        "steps_per_epoch": 6,
        "steps": 12,
        "lr": pytest.approx(0.002 * (16 / 128) ** 0.5),
        "device": "cpu",
        "precision": "bf16" if has_bfloat16(torch.device("cpu")) else "fp32",
        "image_size": 16,
        "images_are": "20 px images",
    }


def test_knn_is_watched_and_changes_nothing(tiny: Dataset, finished: RunFolder, tmp_path: Path) -> None:
    split = tiny.split("train")
    watched = replace(tiny, splits={**tiny.splits, "val": lambda: split})
    run = pretrain(small(overrides=("knn_every=1",)), tmp_path / "run", dataset=watched)
    values = [record["knn"] for record in read_metrics(run.metrics) if "knn" in record]
    assert len(values) == 2
    assert all(50 < value <= 100 for value in values)  # stripes, and every query is in the bank
    assert same(run, finished)


def test_the_monitor_equals_a_loop_over_neighbours(tiny: Dataset) -> None:
    split = tiny.split("train")
    bank, queries = (
        ImageSplit(split.images[:75], split.labels[:75]),
        ImageSplit(split.images[75:], split.labels[75:]),
    )
    dataset = replace(tiny, splits={"train": lambda: bank, "val": lambda: queries})
    trainer = make_trainer(small("moco"), dataset)
    trainer.step()
    monitor = KnnMonitor(dataset, trainer.views.preprocessing, trainer.device)
    found = monitor.measure(trainer.framework.backbone)
    assert trainer.framework.backbone.training
    backbone = trainer.framework.backbone.eval()
    with torch.no_grad():
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        pixels = (split.images[:, :, 2:18, 2:18] / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        features = torch.cat([backbone(part) for part in pixels.split(50)])
    correct = 0
    for query in range(75, 96):
        similar = torch.cosine_similarity(features[query : query + 1], features[:75])
        near = similar.argsort(descending=True)[:20]
        votes = [0.0, 0.0]
        for index in near.tolist():
            votes[int(split.labels[index])] += float((similar[index] / 0.1).exp())
        correct += votes.index(max(votes)) == int(split.labels[query])
    assert found == pytest.approx(100 * correct / 21)


def test_as_many_states_are_kept_as_asked_for(tiny: Dataset, tmp_path: Path) -> None:
    run = pretrain(small(epochs=4, overrides=("keep_states=3",)), tmp_path / "run", dataset=tiny)
    assert [path.stem for path in run.state_paths()] == ["step-00000024", "step-00000018", "step-00000012"]


def test_a_run_goes_on_where_its_own_states_leave_room_for_one_more(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new run needs room for two states, one that is being written, and 4 MiB."""
    config, folder = small(epochs=3), RunFolder(tmp_path / "run")
    state = make_trainer(config, tiny).state_bytes()
    free = 0
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=free))
    free = 3 * state + 2**22 - 1
    with pytest.raises(UserError, match="not enough disk for training states"):
        pretrain(config, folder.root, dataset=tiny)
    free += 1
    stopped(config, folder.root, 13, tiny)
    saved = [path.stat().st_size for path in folder.state_paths()]
    free = 3 * state - sum(min(size, state) for size in saved) + 2**22 - 1
    assert len(saved) == 2 and free < 1.5 * state + 2**22
    with pytest.raises(UserError, match="not enough disk for training states"):
        pretrain(config, folder.root, dataset=tiny)
    (folder.training / ".step-00000014-mmbench-left.pth").write_bytes(b"1")  # of a process that was killed
    assert pretrain(config, folder.root, dataset=tiny).finished


def test_a_full_disk_ends_the_run_with_the_older_state_whole(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def fill(state: dict[str, Any], stream: IO[bytes]) -> None:
        if state["step"] == 12:
            stream.write(b"half")
            raise OSError(28, "No space left on device")
        save(state, stream)

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(MachineError, match=r"state of step 12 cannot be written to .*: no space is left on"):
        pretrain(small(), tmp_path / "run", dataset=tiny)
    monkeypatch.undo()
    folder = RunFolder(tmp_path / "run")
    assert [path.name for path in folder.training.iterdir()] == ["step-00000006.pth"]
    said: list[str] = []
    assert pretrain(small(), folder.root, dataset=tiny, say=said.append).finished
    assert any("at step 6 of 12" in words for words in said)


def test_a_state_above_the_limit_of_files_is_not_blamed_on_the_disk(tiny: Dataset, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(MachineError, match=r"state of step 6 cannot be written to .* `ulimit -f` allows"):
            pretrain(small(), tmp_path / "run", dataset=tiny)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(RunFolder(tmp_path / "run").training.iterdir())


def test_trackers_by_name(tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert small(overrides=("trackers=tensorboard",)).trackers == ("tensorboard",)
    with pytest.raises(UserError, match="unknown tracker 'wandbb'; did you mean 'wandb'"):
        pretrain(small(overrides=("trackers=[wandbb]",)), tmp_path / "run", dataset=tiny)
    monkeypatch.setattr("mmbench.pretrain.acceleration.get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(UserError, match="wandb, which is not installed; run: pip install wandb"):
        pretrain(small(overrides=("trackers=[wandb]",)), tmp_path / "run", dataset=tiny)
    assert not (tmp_path / "run").exists()
    run = pretrain(small(epochs=1, overrides=("trackers=[]",)), tmp_path / "run", dataset=tiny)
    assert not run.tensorboard.exists()


def test_tensorboard_holds_what_the_metrics_hold(finished: RunFolder) -> None:
    events = EventAccumulator(str(finished.tensorboard / "mmbench"))
    events.Reload()
    logged = [(event.step, event.value) for event in events.Scalars("loss")]
    expected = [(record["step"], record["loss"]) for record in read_metrics(finished.metrics)]
    assert [step for step, _ in logged] == [step for step, _ in expected]
    assert [value for _, value in logged] == pytest.approx([value for _, value in expected], rel=1e-6)


def test_half_precision_of_gpus_is_refused_on_the_cpu(tiny: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="precision fp16 needs a GPU"):
        pretrain(small(overrides=("precision=fp16",)), tmp_path / "run", dataset=tiny)


@pytest.mark.parametrize(("there", "taken", "word"), [(True, "bf16", "bf16"), (False, "no", "fp32")])
def test_a_cpu_without_bfloat16_takes_float32_and_says_so(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, taken: str, word: str
) -> None:
    monkeypatch.setattr("mmbench.pretrain.acceleration.has_bfloat16", lambda device: there)
    said: list[str] = []
    config = small(overrides=("precision=bf16",))
    trainer = make_trainer(config, tiny)
    assert trainer.accelerator.mixed_precision == taken
    run = pretrain(config, tmp_path / "run", dataset=tiny, say=said.append)
    assert said[0].endswith(f"cpu, {word}")
    settings = yaml.safe_load(run.settings.read_text())
    assert settings["precision"] == "bf16" and settings["effective"]["precision"] == word


@pytest.mark.parametrize("before", ["mmbench 0.0.1, torch 1.0", None, software()])
def test_a_run_that_goes_on_by_another_version_says_so(
    tiny: Dataset, tmp_path: Path, before: str | None
) -> None:
    config, said = small("moco"), list[str]()
    stopped(config, tmp_path, 7, tiny)
    (path,) = RunFolder(tmp_path).state_paths()[:1]
    state = torch.load(path, weights_only=True)
    assert state.pop("software") == software() and "torch 2" in software()
    torch.save(state if before is None else {**state, "software": before}, path)
    pretrain(config, tmp_path, dataset=tiny, say=said.append)
    told = [line for line in said if line.startswith("earlier steps were computed by ")]
    assert len(told) == (before != software())
    assert not told or f"by {before or 'an earlier version of mmbench'}, and this session" in told[0]


@pytest.mark.parametrize("began", [True, False])
def test_a_run_that_goes_on_in_another_precision_states_both(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, began: bool
) -> None:
    there = began
    monkeypatch.setattr("mmbench.pretrain.acceleration.has_bfloat16", lambda device: there)
    config = small("moco", overrides=("precision=bf16",))
    cards = {}
    for name, first, second in (("pure", not began, not began), ("mixed", began, not began)):
        there, said = first, list[str]()
        stopped(config, tmp_path / name, 7, tiny)
        there = second
        run = pretrain(config, tmp_path / name, dataset=tiny, say=said.append)
        cards[name] = ModelCard.model_validate_json(run.card.read_text())
        before, now = ("bf16", "fp32") if began else ("fp32", "bf16")
        told = f"earlier steps were computed in {before}, and this session computes in {now}"
        assert any(line.startswith(told) for line in said) is (name == "mixed")
    assert cards["pure"].precision == ("float32" if began else "bfloat16")
    assert "precision" not in cards["pure"].origins
    assert cards["mixed"].precision == "bfloat16 and float32"
    assert cards["mixed"].origins["precision"] == "the sessions of this run computed in one each"
    assert cards["mixed"].recipe_digest != cards["pure"].recipe_digest
    state = torch.load(RunFolder(tmp_path / "mixed").state_paths()[0], weights_only=True)
    assert state["recipe_digest"] == cards["mixed"].recipe_digest
    # A session without steps changes nothing, and states of older versions do not say.
    there = not began
    finished, older = make_trainer(config, tiny), make_trainer(config, tiny)
    state["precisions"] = ["bf16" if began else "fp32"]
    finished.load(state)
    assert finished.precisions == {before} and finished.precision == now
    older.load({name: value for name, value in state.items() if name != "precisions"})
    assert older.precisions == {now}


@pytest.mark.gpu
def test_half_precision_on_a_gpu_scales_the_loss(tiny: Dataset, tmp_path: Path) -> None:
    config = small(overrides=("precision=fp16",)).model_copy(update={"device": "cuda"})
    run = pretrain(config, tmp_path / "run", dataset=tiny)
    assert torch.load(run.state_paths()[0], weights_only=True)["scaler"]["scale"] > 1


def test_slow_data_are_told_once(tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of the test's own: a busy machine changes nothing."""
    batches, now = MemorySource.batches, 0.0

    def tick() -> float:
        nonlocal now
        now += 0.001
        return now

    def slowly(self: MemorySource, plan: Any) -> Any:
        nonlocal now
        for images in batches(self, plan):
            now += 0.05
            yield images

    for module in ("session", "trainer"):
        monkeypatch.setattr(f"mmbench.pretrain.{module}.time", SimpleNamespace(perf_counter=tick))
    monkeypatch.setattr(MemorySource, "batches", slowly)
    monkeypatch.setattr("mmbench.pretrain.session.WAIT_HINT_STEPS", 5)
    monkeypatch.setattr("mmbench.pretrain.session.cores", lambda: 8)
    said: list[str] = []
    run = pretrain(small(), tmp_path / "run", dataset=tiny, say=said.append)
    assert sum("of the time is spent waiting for data; try --set workers=4" in words for words in said) == 1
    assert read_metrics(run.metrics)[-1]["data_wait"] > 0.1


def test_no_more_workers_are_advised_than_there_are_cores() -> None:
    advised = {(2, 8): "=4", (0, 8): "=2", (2, 3): "=3", (0, 1): "=1"}
    for known, value in advised.items():
        assert faster_reading(*known) == f"try --set workers{value}"
    for known in ((2, 2), (4, 2), (1, 1)):
        assert "--set" not in faster_reading(*known) and "mmbench data pack" in faster_reading(*known)


def test_a_signal_during_the_step_before_is_not_forgotten(tiny: Dataset, tmp_path: Path) -> None:
    """A request that arrives while the state is being written is heeded after the next step."""
    requests = Requests()
    steps: list[int] = []

    def ask(done: int, total: int, words: str) -> None:
        steps.append(done)
        if done == 3:
            requests.save = requests.resubmit = requests.stop = True

    with pytest.raises(KeyboardInterrupt):
        pretrain(small(), tmp_path / "run", ask, dataset=tiny, requests=requests)
    assert steps == [1, 2, 3]
    assert (requests.save, requests.stop, requests.resubmit) == (False, True, True)
    assert RunFolder(tmp_path / "run").state_paths()[0].stem == "step-00000003"
