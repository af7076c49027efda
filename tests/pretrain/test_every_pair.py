"""Every scale x method pair trains two steps on a little data in the layout of its scale on disk."""

import dataclasses
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from small_runs import make_trainer

from mmbench.data import Dataset, load_dataset
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.recipes.recipe import recipes

COUNT = 32  # images, two classes


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (COUNT, side, side, 3), dtype=np.uint8)


def write_files(folder: Path, side: int, ending: str, inner: str = "") -> None:
    for number, pixels in enumerate(noise(side)):
        path = folder / ("n01440764", "n01443537")[number % 2] / inner / f"{number:04}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def write_cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the authors' archive in little, with torchvision's own checksums replaced."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    data = noise(32).transpose(0, 3, 1, 2).reshape(COUNT, -1)
    labels = [number % 2 for number in range(COUNT)]
    contents = {
        "train": {"data": data, "fine_labels": labels},
        "test": {"data": data, "fine_labels": labels},
        "meta": {"fine_label_names": ["a", "b"]},
    }
    sums = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    reader = torchvision.datasets.CIFAR100
    monkeypatch.setattr(reader, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(reader, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": sums["meta"]})


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """Return a little data set for each scale, read from the layout of the scale's own data set."""
    root = tmp_path_factory.mktemp("data")
    monkeypatch = pytest.MonkeyPatch()
    write_cifar100(root / "cifar100", monkeypatch)
    write_files(root / "tiny-imagenet" / "tiny-imagenet-200" / "train", 64, "JPEG", "images")
    write_files(root / "imagenet" / "train", 240, "JPEG")
    write_files(root / "imagenet" / "val", 240, "JPEG")
    write_files(root / "small" / "train", 32, "png")
    found = {name: load_dataset(name, root) for name in ("cifar100", "tiny-imagenet", "imagenet")}
    found["cifar100"] = dataclasses.replace(found["cifar100"], expected={})  # the counts are not CIFAR's
    assert found["cifar100"].fingerprint  # which reads all splits, and keeps them
    found["small-images"] = load_dataset(str(root / "small"))
    monkeypatch.undo()
    return found


@pytest.mark.parametrize("name", list(recipes()))
def test_every_pair_trains_two_steps(name: str, layouts: dict[str, Dataset]) -> None:
    recipe = recipes()[name]
    dataset = layouts[recipe.scale.name]
    splits = resolve_config(name).batch_norm.splits
    large = recipe.scale.name == "imagenet"
    overrides = {
        "batch_size": 2 * splits if splits > 1 else 8,
        "precision": "fp32",
        "workers": 0,
        "image_size": 32,
        "optimiser.warmup_epochs": 1,
        "loading": "files" if large else "auto",
        **({"framework.queue": 50} if "queue" in recipe.settings["framework"] else {}),
    }
    config = resolve_config(
        name, arch="mixmask_resnet8", epochs=2, device="cpu", threads=1, overrides=overrides
    )
    trainer = make_trainer(config, dataset)
    before = [parameter.detach().clone() for parameter in trainer.framework.backbone.parameters()]
    for step in (1, 2):
        report = trainer.step()
        assert report.step == step and np.isfinite(report.loss)
    after = list(trainer.framework.backbone.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
