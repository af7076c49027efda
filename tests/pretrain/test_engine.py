"""Whole small runs: what they leave, how they go on, how they fail."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from small_runs import make_trainer, same, small, stopped, weights

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, ModelCard
from mmbench.checkpoints.reading import load_backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess, high_pass_for
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.recipe_digest import recipe_digest
from mmbench.pretrain.session import Requests
from mmbench.pretrain.settings import RUNTIME_SETTINGS, PretrainConfig
from mmbench.pretrain.trainer import build_framework
from mmbench.runs import RunFolder, read_metrics, read_settings
from mmbench.verification import content_digest


def test_a_finished_run_has_everything_in_its_place(finished: RunFolder, tiny: Dataset) -> None:
    assert finished.finished
    card = ModelCard.model_validate_json(finished.card.read_text())
    assert (card.arm, card.method, card.framework, card.masking) == ("mixmask", "mixmask", "moco", "mixmask")
    assert (card.epochs, card.seed, card.arch) == (2, 0, "mixmask_resnet8")
    assert card.pretrain_fingerprint == tiny.fingerprint
    assert card.pretrain_seconds is not None
    assert card.pretrain_seconds > 0
    assert card.pretrain_compute is not None and card.pretrain_compute.kind == "cpu"
    assert card.pretrain_processes == 1
    assert card.pretrain_compute.seconds > 0
    ran_in = read_settings(finished.settings)["effective"]["precision"]
    assert (card.precision, card.recipe) == ({"fp32": "float32", "bf16": "bfloat16"}[ran_in], "mixmask@1")
    assert card.preprocessing.image_size == 16
    assert card.preprocessing.high_pass is None
    assert card.source_format == "run"
    for image in ("views.png", "curves.png"):
        with Image.open(finished.root / image) as image:
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
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(local(images), by_path(images))
    for name, tensor in local.state_dict().items():
        assert torch.equal(tensor, stored[name])
    assert local.pretrained_cfg["input_size"] == (3, 16, 16)
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


def test_a_finished_run_notices_other_data(finished: RunFolder, tiny: Dataset) -> None:
    split = tiny.split("train")
    other_split = type(split)(255 - split.images, split.labels)
    other = Dataset("stripes", tiny.root, tiny.classes, {"train": lambda: other_split}, 16)
    with pytest.raises(UserError, match=r"'stripes' is not the one that .* \(its fingerprint changed\)"):
        pretrain(small(), finished.root, dataset=other)


def test_a_finished_run_compares_the_files_that_are_there(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for number in range(32):
        place = images / "train" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (8 * number, 99, 50)).save(place)
    config = small("moco", epochs=1, data=str(images))
    folder = pretrain(config, tmp_path / "run", say=lambda line: None)
    said: list[str] = []
    pretrain(config, folder.root, say=said.append)
    (images / "train" / "a" / "0.png").unlink()
    with pytest.raises(UserError, match=r"'images' is not the one that .* \(its fingerprint changed\)"):
        pretrain(config, folder.root, say=said.append)
    images.rename(tmp_path / "elsewhere")  # a finished run does not need them
    pretrain(config, folder.root, say=said.append)
    assert [line.rpartition(" is ")[2] for line in said] == 2 * ["finished already; nothing to do"]


def test_changed_settings_are_refused_by_name(finished: RunFolder, tiny: Dataset) -> None:
    changed = small(epochs=3, overrides=("optimiser.lr=0.5",))
    with pytest.raises(UserError, match=r"epochs: 2 there, 3 now; optimiser\.lr: 0\.002 there, 0\.5 now"):
        pretrain(changed, finished.root, dataset=tiny)


def test_the_high_pass_filter_travels_with_the_weights(tiny: Dataset, tmp_path: Path) -> None:
    folder = pretrain(small("mscn", epochs=1), tmp_path / "mscn", dataset=tiny)
    card = ModelCard.model_validate_json(folder.card.read_text())
    assert card.preprocessing.high_pass == high_pass_for(16)
    recorded = json.loads(folder.hub_config.read_text())["mmbench"]["preprocessing"]
    assert recorded == card.preprocessing.model_dump(mode="json")
    assert "GaussianBlur" in folder.readme.read_text()
    with safe_open(folder.weights, "pt") as stream:  # a copy of the file alone keeps the filter too
        inside = ModelCard.model_validate_json(stream.metadata()["card"])
    assert inside == card.model_copy(update={"pretrain_seconds": None, "pretrain_compute": None})


def features_by_timm_alone(folder: RunFolder, images: torch.Tensor) -> torch.Tensor:
    model = timm.create_model(f"local-dir:{folder.root}", pretrained=True).eval()
    mean, std = (torch.tensor(model.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        return model((images.float() / 255 - mean) / std)


@pytest.mark.parametrize("arch", ["mixmask_resnet8", "resnet18"])
def test_timm_alone_gives_the_features_that_we_measure(arch: str, tiny: Dataset, tmp_path: Path) -> None:
    config = small("mscn", epochs=1, arch=arch, overrides=("batch_size=48",))
    folder = pretrain(config, tmp_path / "mscn", dataset=tiny)
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    backbone = load_backbone(folder.root)
    with torch.inference_mode():
        expected = backbone.build().eval()(Preprocess(backbone.card.preprocessing)(images))
    found = features_by_timm_alone(folder, images)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5
    bare = timm.create_model(arch, num_classes=0, checkpoint_path=str(folder.weights)).eval()
    with torch.inference_mode():
        lost = bare(
            (images.float() / 255 - torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
            / torch.tensor(IMAGENET_STD).view(3, 1, 1)
        )
    assert float((lost - expected).abs().max() / expected.abs().max()) > 0.01  # the filter matters


def test_timm_alone_refuses_a_network_that_has_no_place_for_the_filter(tiny: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    config = small("mscn", epochs=1, arch="resnet10t", overrides=("batch_size=48",))
    folder = pretrain(config, tmp_path / "mscn", dataset=tiny, say=said.append)
    assert any("resnet10t has no place for the high-pass filter" in line for line in said)
    with pytest.raises(TypeError, match="high_pass"):
        timm.create_model(f"local-dir:{folder.root}", pretrained=True)
    assert "timm alone refuses this folder" in folder.readme.read_text()
    assert load_backbone(folder.root).card.preprocessing.high_pass == high_pass_for(16)


@pytest.mark.parametrize("stop_after", [6, 8])
def test_stopped_and_resumed_equals_uninterrupted(
    finished: RunFolder, tiny: Dataset, tmp_path: Path, stop_after: int
) -> None:
    out = tmp_path / "run"
    stopped(small(), out, stop_after, tiny)
    assert not RunFolder(out).finished
    assert int(RunFolder(out).state_paths()[0].stem.removeprefix("step-")) == stop_after
    said: list[str] = []
    folder = pretrain(small(), out, dataset=tiny, say=said.append)
    assert "96 images, 12 steps of 16" in said[0]
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
        overrides = ("masking.name=unmix+mixmask", "batch_size=16", "log_every=2")
        return resolve_config(framework, epochs=2, device="cpu", threads=1, overrides=overrides)

    stopped(config(), tmp_path / "parts", 8, tiny)
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
    out = tmp_path / "run"
    stopped(small(epochs=1), out, 2, tiny)
    path = RunFolder(out).state_paths()[0]
    state = torch.load(path, weights_only=True)
    assert state["seconds"] > 0
    assert state["compute"]["kind"] == "cpu" and state["compute"]["seconds"] > 0
    torch.save({**state, "seconds": 1000.0, "compute": {"kind": "cpu", "seconds": 2000.0}}, path)
    folder = pretrain(small(epochs=1), out, dataset=tiny, say=lambda words: None)
    card = ModelCard.model_validate_json(folder.card.read_text())
    assert card.pretrain_seconds is not None and card.pretrain_compute is not None
    assert 1000 < card.pretrain_seconds < 1100
    assert 2000 < card.pretrain_compute.seconds < 2100


def test_the_time_of_a_state_of_an_older_version_is_unknown(tiny: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        pretrain(small(epochs=1), out, dataset=tiny, requests=Requests(stop=True))
    path = RunFolder(out).state_paths()[0]
    state = torch.load(path, weights_only=True)
    del state["compute"]
    torch.save(state, path)
    folder = pretrain(small(epochs=1), out, dataset=tiny, say=lambda words: None)
    assert ModelCard.model_validate_json(folder.card.read_text()).pretrain_compute is None


def test_the_digest_of_a_recipe_is_of_what_changes_the_weights(tiny: Dataset) -> None:
    def digest(method: str = "mixmask", overrides: tuple[str, ...] = (), **changes: Any) -> str:
        return recipe_digest(make_trainer(small(method, overrides=overrides, **changes), tiny))

    usual = digest()
    for equal in ({"seed": 5}, {"overrides": ("workers=0", "log_every=1", "keep_states=1", "threads=1")}):
        assert digest(**equal) == usual
    others = [digest("moco"), digest(epochs=3)]
    others += [digest(overrides=(text,)) for text in ("optimiser.lr=0.1", "masking.grid=2", "batch_size=8")]
    assert len({usual, *others}) == 6


def test_a_setting_that_came_later_leaves_digests_as_they_were(tiny: Dataset) -> None:
    """Digests of runs that decode on the CPU and cut crops are those of versions that knew nothing else."""
    trainer = make_trainer(small(), tiny)
    stated = trainer.config.model_dump(mode="json")
    assert (stated.pop("decode"), stated["augmentation"].pop("crop_fit")) == ("cpu", "cut")
    for name in (*RUNTIME_SETTINGS, "method", "recipe", "data", "seed", "channels_last", "accumulation"):
        stated.pop(name, None)
    stated |= {name: trainer.effective()[name] for name in ("image_size", "images_per_pass", "precision")}
    usual = recipe_digest(trainer)
    assert usual == content_digest(stated | {"loading": "memory"})
    trainer.config = trainer.config.model_copy(update={"decode": "gpu"})
    assert recipe_digest(trainer) == content_digest(stated | {"loading": "memory", "decode": "gpu"}) != usual
    drawn = make_trainer(small(overrides=("augmentation.crop_fit=redraw",)), tiny)
    stated["augmentation"]["crop_fit"] = "redraw"
    assert recipe_digest(drawn) == content_digest(stated | {"loading": "memory"}) != usual


def test_a_run_that_states_no_crop_fit_goes_on_with_crops_that_are_cut(tiny: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        pretrain(small(epochs=1), out, dataset=tiny, requests=Requests(stop=True))
    stated = yaml.safe_load((out / "settings.yaml").read_text())
    assert stated["augmentation"].pop("crop_fit") == "cut"
    (out / "settings.yaml").write_text(yaml.safe_dump(stated))
    with pytest.raises(UserError, match=r"crop_fit"):
        pretrain(small(epochs=1, overrides=("augmentation.crop_fit=redraw",)), out, dataset=tiny)
    assert pretrain(small(epochs=1), out, dataset=tiny).finished


def test_other_data_of_the_same_name_are_refused(tiny: Dataset, tmp_path: Path) -> None:
    requests = Requests(stop=True)
    with pytest.raises(KeyboardInterrupt):
        pretrain(small(), tmp_path / "run", dataset=tiny, requests=requests)
    other = Dataset("stripes", tiny.root, tiny.classes, {"train": lambda: other_split}, 16)
    split = tiny.split("train")
    other_split = type(split)(255 - split.images, split.labels)
    with pytest.raises(UserError, match="its fingerprint changed"):
        pretrain(small(), tmp_path / "run", dataset=other)


def test_a_run_goes_on_from_another_folder_of_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    for place in ("photos", "elsewhere/photos", "other"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(16):
            pixels = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{number}.png")
    (tmp_path / "inner").mkdir()

    def train(data: str, out: str, *, stop: bool = False) -> None:
        config = small(overrides=("batch_size=8",)).model_copy(update={"data": data})
        pretrain(config, Path(out), requests=Requests(stop=stop))

    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train("photos", "run", stop=True)
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(UserError, match=r"data: photos there, \.\./other now"):
        train("../other", "../run")
    with pytest.raises(UserError, match="its fingerprint changed"):
        train("../elsewhere/photos", "../run")
    train("../photos", "../run")
    assert read_settings(tmp_path / "run" / "settings.yaml")["data"] == "photos"
    assert RunFolder(tmp_path / "run").finished


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
        (small(overrides=("batch_size=97",)), r"larger than the train split of 'stripes' \(96 images\)"),
        (small(arch="mixmask_resnet19"), "did you mean 'mixmask_resnet"),
        (small().model_copy(update={"device": "cuda:77"}), "device 'cuda:77' cannot be used"),
        (small(arch="vit_tiny_patch16_224"), "vit_tiny_patch16_224 does not take images of 16 px"),
        (small(overrides=("masking.grid=64",)), r"64 x 64 cells does not fit .* 16 px; .*masking\.grid=2"),
        (small(overrides=("compile=true",)), r"needs a C\+\+ compiler, and there is no no-compiler"),
    ]
    monkeypatch.setenv("CXX", "no-compiler")
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
    with pytest.raises(UserError, match="not a run folder but holds files"):
        pretrain(small(), full, dataset=tiny)
    assert sorted(path.name for path in full.iterdir()) in ([".lock", "notes.txt"], ["notes.txt"])


def test_report_counts_every_step(tiny: Dataset, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    config = small("moco", epochs=1)
    pretrain(config, tmp_path / "run", lambda *words: seen.append(words), dataset=tiny)
    assert [done for done, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert all(total == 6 and "loss" in words and "images/s" in words for _, total, words in seen)
