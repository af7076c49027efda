"""Whole small runs: what they leave, how they go on, how they fail."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError
from mmbench.preprocessing import high_pass_for
from mmbench.pretrain.acceleration import make_accelerator
from mmbench.pretrain.config import PretrainConfig, resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.knn_monitor import KnnMonitor
from mmbench.pretrain.optimiser import learning_rate
from mmbench.pretrain.sitting import Requests
from mmbench.pretrain.source import MemorySource, open_source
from mmbench.pretrain.trainer import Trainer, build_framework
from mmbench.runs import RunFolder, read_metrics

SMALL = ("batch_size=32", "framework.queue=100", "log_every=2")  # 6 steps per epoch; 100 is no multiple of 32


def small(method: str = "mixmask", epochs: int = 2, **more: Any) -> PretrainConfig:
    overrides = (*SMALL, *more.pop("overrides", ()))
    return resolve_config(method, epochs=epochs, device="cpu", threads=1, overrides=overrides, **more)


def make_trainer(config: PretrainConfig, dataset: Dataset) -> Trainer:
    accelerator = make_accelerator(config)
    source = open_source(config, dataset, accelerator.device)
    return Trainer(config, build_framework(config), source, accelerator)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(folder.weights)


def same(first: RunFolder, second: RunFolder) -> bool:
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def finished(tiny: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return pretrain(small(), tmp_path_factory.mktemp("runs") / "mixmask", dataset=tiny)


def test_a_finished_run_has_everything_in_its_place(finished: RunFolder, tiny: Dataset) -> None:
    assert finished.finished
    card = ModelCard.model_validate_json(finished.card.read_text())
    assert (card.arm, card.method, card.framework, card.masking) == ("mixmask", "mixmask", "moco", "mixmask")
    assert (card.epochs, card.seed, card.arch) == (2, 0, "mixmask_resnet8")
    assert card.pretrain_fingerprint == tiny.fingerprint
    assert card.pretrain_seconds is not None
    assert card.pretrain_seconds > 0
    assert card.preprocessing.image_size == 32
    assert card.preprocessing.high_pass is None
    assert card.source_format == "run"
    for picture in ("views.png", "curves.png"):
        with Image.open(finished.root / picture) as image:
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(2**20) or []) > 50
    assert list(finished.tensorboard.rglob("events.*"))
    assert "mixmask" in finished.readme.read_text()


def test_metrics_count_the_steps_once(finished: RunFolder) -> None:
    records = read_metrics(finished.metrics)
    assert [record["step"] for record in records] == [2, 4, 6, 8, 10, 12]
    for record in records:
        assert record["loss"] == pytest.approx(record["loss_clean"] + record["loss_masked"], rel=1e-5)
    assert records[-1]["epoch"] == 2.0


def test_the_weights_load_into_timm_as_they_are(finished: RunFolder) -> None:
    local = timm.create_model(f"local-dir:{finished.root}", pretrained=True).eval()
    by_path = timm.create_model("mixmask_resnet8", checkpoint_path=str(finished.weights)).eval()
    stored = weights(finished)
    assert local.state_dict().keys() == stored.keys()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(local(images), by_path(images))
    for name, tensor in local.state_dict().items():
        assert torch.equal(tensor, stored[name])
    assert local.pretrained_cfg["input_size"] == (3, 32, 32)
    assert local.pretrained_cfg["crop_pct"] == 0.8


def test_the_run_starts_from_the_random_controls_weights_and_leaves_them(finished: RunFolder) -> None:
    control = random_backbone("mixmask_resnet8", 0).state_dict
    start = build_framework(small()).backbone.state_dict()
    assert all(torch.equal(start[name], control[name]) for name in control)
    trained = weights(finished)
    moved = [name for name in control if not torch.equal(trained[name], control[name])]
    assert len(moved) == len(control)


def test_a_finished_run_is_not_run_again(finished: RunFolder, tiny: Dataset) -> None:
    said: list[str] = []
    before = finished.weights.stat().st_mtime_ns
    pretrain(small(), finished.root, dataset=tiny, say=said.append)
    assert finished.weights.stat().st_mtime_ns == before
    assert "finished already" in said[0]


def test_changed_settings_are_refused_by_name(finished: RunFolder, tiny: Dataset) -> None:
    changed = small(epochs=3, overrides=("optimiser.lr=0.5",))
    with pytest.raises(UserError, match=r"epochs: 2 there, 3 now; optimiser\.lr: 0\.002 there, 0\.5 now"):
        pretrain(changed, finished.root, dataset=tiny)


def test_the_high_pass_filter_travels_with_the_weights(tiny: Dataset, tmp_path: Path) -> None:
    folder = pretrain(small("mscn", epochs=1), tmp_path / "mscn", dataset=tiny)
    card = ModelCard.model_validate_json(folder.card.read_text())
    assert card.preprocessing.high_pass == high_pass_for(32)
    recorded = json.loads(folder.hub_config.read_text())["mmbench"]["preprocessing"]
    assert recorded == card.preprocessing.model_dump(mode="json")
    assert "GaussianBlur" in folder.readme.read_text()


@pytest.mark.parametrize("stop_after", [6, 8])
def test_stopped_and_resumed_equals_uninterrupted(
    finished: RunFolder, tiny: Dataset, tmp_path: Path, stop_after: int
) -> None:
    out = tmp_path / "run"
    requests = Requests()

    def stop(done: int, total: int, words: str) -> None:
        requests.stop = done == stop_after

    with pytest.raises(KeyboardInterrupt):
        pretrain(small(), out, stop, dataset=tiny, requests=requests)
    assert not RunFolder(out).finished
    assert int(RunFolder(out).state_paths()[0].stem.removeprefix("step-")) == stop_after
    said: list[str] = []
    folder = pretrain(small(), out, dataset=tiny, say=said.append)
    assert "192 images, 12 steps of 32" in said[0]
    assert f"at step {stop_after} of 12" in said[1]
    assert same(folder, finished)
    steps = [record["step"] for record in read_metrics(folder.metrics)]
    assert steps == sorted(set(steps))
    ours, theirs = (read_metrics(run.metrics) for run in (folder, finished))
    assert [record["loss"] for record in ours] == [record["loss"] for record in theirs]


@pytest.mark.parametrize("framework", ["simclr", "byol", "simsiam"])
def test_every_framework_trains_on_mixed_views_and_goes_on_in_mid_epoch(
    tiny: Dataset, tmp_path: Path, framework: str
) -> None:
    def config() -> PretrainConfig:
        overrides = ("masking.name=unmix+mixmask", "batch_size=32", "log_every=2")
        return resolve_config(framework, epochs=2, device="cpu", threads=1, overrides=overrides)

    requests = Requests()

    def stop(done: int, total: int, words: str) -> None:
        requests.stop = done == 8

    with pytest.raises(KeyboardInterrupt):
        pretrain(config(), tmp_path / "parts", stop, dataset=tiny, requests=requests)
    parts = pretrain(config(), tmp_path / "parts", dataset=tiny)
    whole = pretrain(config(), tmp_path / "whole", dataset=tiny)
    assert same(parts, whole)
    card = ModelCard.model_validate_json(whole.card.read_text())
    assert (card.arm, card.framework, card.masking) == (
        f"{framework}+unmix+mixmask",
        framework,
        "unmix+mixmask",
    )
    records = read_metrics(whole.metrics)
    for record in records:
        terms = record["loss_clean"] + record["loss_unmix"] + record["loss_mixmask"]
        assert record["loss"] == pytest.approx(terms, rel=1e-5)
    before = random_backbone("mixmask_resnet8", 0).state_dict
    assert any(not torch.equal(before[name], tensor) for name, tensor in weights(whole).items())


def test_a_truncated_newest_state_is_skipped_and_the_result_is_the_same(
    finished: RunFolder, tiny: Dataset, tmp_path: Path
) -> None:
    requests = Requests()

    def steer(done: int, total: int, words: str) -> None:
        requests.save = done == 9
        requests.stop = done == 10

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        pretrain(small(), out, steer, dataset=tiny, requests=requests)
    newest, older = RunFolder(out).state_paths()
    assert (newest.name, older.name) == ("step-00000010.pth", "step-00000009.pth")
    newest.write_bytes(newest.read_bytes()[:5000])
    said: list[str] = []
    folder = pretrain(small(), out, dataset=tiny, say=said.append)
    assert "cannot be read" in said[1]
    assert "at step 9 of 12" in said[2]
    assert same(folder, finished)


def test_seconds_add_up_over_sittings(tiny: Dataset, tmp_path: Path) -> None:
    requests = Requests()

    def stop(done: int, total: int, words: str) -> None:
        requests.stop = done == 2

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        pretrain(small(epochs=1), out, stop, dataset=tiny, requests=requests)
    path = RunFolder(out).state_paths()[0]
    state = torch.load(path, weights_only=True)
    assert state["seconds"] > 0
    torch.save({**state, "seconds": 1000.0}, path)
    folder = pretrain(small(epochs=1), out, dataset=tiny, say=lambda words: None)
    seconds = ModelCard.model_validate_json(folder.card.read_text()).pretrain_seconds
    assert seconds is not None
    assert 1000 < seconds < 1100


def test_other_data_of_the_same_name_are_refused(tiny: Dataset, tmp_path: Path) -> None:
    requests = Requests(stop=True)
    with pytest.raises(KeyboardInterrupt):
        pretrain(small(), tmp_path / "run", dataset=tiny, requests=requests)
    other = Dataset("stripes", tiny.root, tiny.classes, {"train": lambda: other_split}, 32)
    split = tiny.split("train")
    other_split = type(split)(255 - split.images, split.labels)
    with pytest.raises(UserError, match="its fingerprint changed"):
        pretrain(small(), tmp_path / "run", dataset=other)


def test_a_loss_that_is_not_finite_ends_the_run_with_advice(tiny: Dataset, tmp_path: Path) -> None:
    wild = small(
        "moco", overrides=("optimiser.lr=1.0e+38", "optimiser.name=sgd", "optimiser.warmup_epochs=0")
    )
    with pytest.raises(UserError) as caught:
        pretrain(wild, tmp_path / "run", dataset=tiny)
    words = str(caught.value)
    for part in ("at step 2", "lr ", "no state was saved yet", "--set optimiser.lr="):
        assert part in words
    assert not RunFolder(tmp_path / "run").finished


def test_bad_input_leaves_nothing_behind(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    cases = [
        (small(overrides=("batch_size=193",)), r"larger than the train split of 'stripes' \(192 images\)"),
        (small(arch="mixmask_resnet19"), "did you mean 'mixmask_resnet"),
        (small().model_copy(update={"device": "cuda:77"}), "device 'cuda:77' cannot be used"),
        (small(arch="vit_tiny_patch16_224"), "vit_tiny_patch16_224 does not take images of 32 px"),
        (small(overrides=("masking.grid=64",)), r"64 x 64 cells does not fit .* 32 px; .*masking\.grid=4"),
    ]
    for config, words in cases:
        with pytest.raises(UserError, match=words):
            pretrain(config, out, dataset=tiny)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(UserError, match="not enough disk for training states"):
        pretrain(small(), out, dataset=tiny)
    assert not out.exists()
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    monkeypatch.undo()
    with pytest.raises(UserError, match="no run folder but holds files"):
        pretrain(small(), full, dataset=tiny)
    assert sorted(path.name for path in full.iterdir()) in ([".lock", "notes.txt"], ["notes.txt"])


def test_report_counts_every_step(tiny: Dataset, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    config = small("moco", epochs=1)
    pretrain(config, tmp_path / "run", lambda *words: seen.append(words), dataset=tiny)
    assert [done for done, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert all(total == 6 and "loss" in words and "images/s" in words for _, total, words in seen)


def test_every_image_is_seen_once_per_epoch(tiny: Dataset) -> None:
    config = small("moco")
    trainer = make_trainer(config, tiny)
    epochs: list[list[int]] = [[], []]
    for part in trainer.plan():
        assert len(part.indices) == 32
        epochs[part.epoch] += part.indices.tolist()
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(192))
    assert epochs[0] != epochs[1]
    trainer.step_number = 8
    rest = [index for part in trainer.plan() for index in part.indices.tolist()]
    assert rest == epochs[1][64:]
    first = next(trainer.source.batches(trainer.plan()))
    assert torch.equal(first, tiny.split("train").images[rest[:32]])


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    settings = small().optimiser
    rates = [learning_rate(step, 10, 5, settings) for step in range(50)]
    assert rates[0] == pytest.approx(settings.lr / 10)
    assert max(rates) == rates[10] == rates[9] == settings.lr
    assert rates[30] == pytest.approx(settings.lr / 2)
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert 0 < rates[-1] < settings.lr / 500


def test_what_the_settings_come_to_is_told_and_recorded(finished: RunFolder, tiny: Dataset) -> None:
    recorded = yaml.safe_load(finished.settings.read_text())
    assert recorded["effective"] == {
        "images": 192,
        "batch": 32,
        "processes": 1,
        "images_per_pass": 32,
        "steps_per_epoch": 6,
        "steps": 12,
        "lr": pytest.approx(0.002 * (32 / 128) ** 0.5),
        "device": "cpu",
    }


def test_an_accumulated_step_is_the_mean_of_its_parts(tiny: Dataset) -> None:
    """Against a loop: SimCLR, plain SGD, two parts of 16, each with batch statistics of its own."""
    sgd = ("optimiser.name=sgd", "optimiser.momentum=0", "optimiser.weight_decay=0", "precision=fp32")
    chosen = resolve_config(
        "simclr", epochs=2, device="cpu", threads=1, overrides=(*sgd, "batch_size=32", "accumulation=2")
    )
    trainer, other = make_trainer(chosen, tiny), make_trainer(chosen, tiny)
    before = [parameter.clone() for parameter in other.framework.parameters()]
    report = trainer.step()
    losses = []
    for images in tiny.split("train").images[trainer.orders.of(0)[:32]].chunk(2):
        loss, _ = other.framework.loss(other.views(images, other.view_generator))
        losses.append(loss)
    (sum(losses) / 2).backward()  # type: ignore[union-attr]
    assert report.loss == pytest.approx(sum(float(loss.detach()) for loss in losses) / 2, rel=1e-5)
    for start, ours, theirs in zip(
        before, trainer.framework.parameters(), other.framework.parameters(), strict=True
    ):
        assert theirs.grad is not None
        torch.testing.assert_close(ours, start - report.lr * theirs.grad, rtol=1e-4, atol=1e-6)


def test_accumulated_keys_enter_the_queue_once_each(tiny: Dataset) -> None:
    config = small("moco", overrides=("accumulation=4",))
    trainer = make_trainer(config, tiny)
    trainer.step()
    assert int(trainer.framework.queue_position) == 32
    with pytest.raises(UserError, match="cannot be shared out among 1 processes x 3 accumulated parts"):
        make_trainer(small(overrides=("accumulation=3",)), tiny)
    with pytest.raises(UserError, match="use --set batch_size=64"):
        make_trainer(small(overrides=("accumulation=4", "batch_norm.splits=8")), tiny)


def test_the_predictor_of_simsiam_keeps_its_rate(tiny: Dataset) -> None:
    trainer = make_trainer(resolve_config("simsiam", epochs=2, device="cpu", overrides=SMALL[:1]), tiny)
    for _ in range(3):
        trainer.step()
    scheduled, constant = trainer.optimiser.param_groups
    assert constant["lr"] == trainer.schedule.lr
    assert scheduled["lr"] == pytest.approx(trainer.schedule.lr * 3 / 6)
    predictor = {id(parameter) for parameter in trainer.framework.predictor.parameters()}
    assert {id(parameter) for parameter in constant["params"]} == predictor


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
        ImageSplit(split.images[:150], split.labels[:150]),
        ImageSplit(split.images[150:], split.labels[150:]),
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
        pixels = (split.images[:, :, 4:36, 4:36] / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        features = torch.cat([backbone(part) for part in pixels.split(50)])
    correct = 0
    for query in range(150, 192):
        similar = torch.cosine_similarity(features[query : query + 1], features[:150])
        near = similar.argsort(descending=True)[:20]
        votes = [0.0, 0.0]
        for index in near.tolist():
            votes[int(split.labels[index])] += float((similar[index] / 0.1).exp())
        correct += votes.index(max(votes)) == int(split.labels[query])
    assert found == pytest.approx(100 * correct / 42)


def test_as_many_states_are_kept_as_asked_for(tiny: Dataset, tmp_path: Path) -> None:
    run = pretrain(small(epochs=4, overrides=("keep_states=3",)), tmp_path / "run", dataset=tiny)
    assert [path.stem for path in run.state_paths()] == ["step-00000024", "step-00000018", "step-00000012"]


def test_a_full_disk_ends_the_run_with_the_older_state_whole(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def fill(state: dict[str, Any], path: Path) -> None:
        if state["step"] == 12:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(state, path)

    monkeypatch.setattr(torch, "save", fill)
    with pytest.raises(UserError, match=r"state of step 12 cannot be written .*No space left on device"):
        pretrain(small(), tmp_path / "run", dataset=tiny)
    monkeypatch.undo()
    folder = RunFolder(tmp_path / "run")
    assert [path.name for path in folder.training.iterdir()] == ["step-00000006.pth"]
    said: list[str] = []
    assert pretrain(small(), folder.root, dataset=tiny, say=said.append).finished
    assert any("at step 6 of 12" in words for words in said)


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


@pytest.mark.gpu
def test_half_precision_on_a_gpu_scales_the_loss(tiny: Dataset, tmp_path: Path) -> None:
    config = small(overrides=("precision=fp16",)).model_copy(update={"device": "cuda"})
    run = pretrain(config, tmp_path / "run", dataset=tiny)
    assert torch.load(run.state_paths()[0], weights_only=True)["scaler"]["scale"] > 1


def test_slow_data_are_told_once(tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = MemorySource.batches

    def slowly(self: MemorySource, plan: Any) -> Any:
        for images in batches(self, plan):
            time.sleep(0.05)
            yield images

    monkeypatch.setattr(MemorySource, "batches", slowly)
    monkeypatch.setattr("mmbench.pretrain.sitting.WAIT_HINT_STEPS", 5)
    said: list[str] = []
    run = pretrain(small(), tmp_path / "run", dataset=tiny, say=said.append)
    assert sum("of the time is spent waiting for data; try --set workers=4" in words for words in said) == 1
    assert read_metrics(run.metrics)[-1]["data_wait"] > 0.1


def test_compiled_encoders_learn_what_plain_ones_learn(tiny: Dataset) -> None:
    plain, compiled = (
        make_trainer(small("moco", overrides=("precision=fp32", f"compile={value}")), tiny)
        for value in ("false", "true")
    )
    assert compiled.framework.state_dict().keys() == plain.framework.state_dict().keys()
    assert compiled.framework.backbone._compiled_call_impl is not None
    assert compiled.step().loss == pytest.approx(plain.step().loss, rel=1e-3)
