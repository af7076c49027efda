"""`mmbench.evaluate`: models of all kinds, as objects and by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import mmbench
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess
from mmbench.neighbours import knn_scores
from mmbench.transfer.module_encoder import computed_by, model_of_module

PLAIN = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), image_size=16)


class Means:
    """An encoder of somebody else: the mean of each quarter of each channel."""

    name = "means"
    identity = "means of quarters, 1"
    preprocessing = PLAIN

    def encode(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


class Small(nn.Module):
    """A network that timm does not know, in training mode as its owner left it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.convolution(images)).relu()


def expected_knn(features: dict[str, Tensor], data: Dataset) -> float:
    votes = knn_scores(
        features["test"], features["train"], data.labels("train"), 6, neighbours=20, temperature=0.1
    )
    return 100 * float((votes.argmax(dim=1) == data.labels("test")).double().mean())


def central(data: Dataset, split: Any) -> Tensor:
    """Return the central 16 px of the stored 20, normalised."""
    return Preprocess(PLAIN)(data.split(split).images[..., 2:18, 2:18])


def test_a_vision_transformer_of_timm(gratings: Dataset, tmp_path: Path) -> None:
    """The README's example, with random weights and four training images of each class to keep it short."""
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224")
    few = {split: torch.arange(24 if split == "train" else 12) * 5 for split in ("train", "val", "test")}
    splits = {}
    for split, rows in few.items():
        whole = gratings.split(split)  # type: ignore[arg-type]
        part = type(whole)(whole.images[rows], whole.labels[rows])
        splits[split] = lambda part=part: part
    data = Dataset("few", tmp_path, gratings.classes, splits, 16)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    knn, linear = mmbench.evaluate(model, ["knn", "linear"], data, out=tmp_path / "results", device="cpu")
    assert (knn.task, linear.task) == ("knn", "linear")
    assert knn.model.arch == "vit_tiny_patch16_224" and knn.model.preprocessing.image_size == 224
    assert knn.model.preprocessing.mean == (0.5, 0.5, 0.5)  # timm's configuration of this model
    assert model.training and all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    table = mmbench.build_leaderboard([knn, linear])
    assert len(table) == 1


def test_an_encoder_is_all_that_frozen_tasks_need(gratings: Dataset, tmp_path: Path) -> None:
    assert isinstance(Means(), mmbench.Encoder)
    (result,) = mmbench.evaluate(Means(), "knn", gratings, out=tmp_path / "results", device="cpu")
    features = {split: Means().encode(central(gratings, split)) for split in ("train", "test")}
    assert result.metrics["top1"].value == pytest.approx(expected_knn(features, gratings))
    assert (result.model.arm, result.model.source_format) == ("means", "encoder")
    (named,) = mmbench.evaluate(
        Means(), "knn", gratings, out=tmp_path / "b", device="cpu", arm="means, again"
    )
    assert named.model.arm == "means, again" and named.metrics == result.metrics
    assert "means before" in named.model.origins["arm"]
    with pytest.raises(UserError, match="--arm random is the row of a control"):
        mmbench.evaluate(Means(), "knn", gratings, out=tmp_path / "results", device="cpu", arm="random")
    with pytest.raises(UserError, match="an encoder only gives features; use knn, linear, logreg or lowshot"):
        mmbench.evaluate(Means(), "finetune", gratings, out=tmp_path / "results", device="cpu")


def test_another_identity_is_another_record_and_other_features(gratings: Dataset, tmp_path: Path) -> None:
    second = Means()
    second.identity = "means of quarters, 2"
    second.encode = lambda images: images[:, :, 0, 0]  # type: ignore[method-assign]
    arguments: dict[str, Any] = {"out": tmp_path / "results", "bank": tmp_path / "bank", "device": "cpu"}
    first = mmbench.evaluate(Means(), "knn", gratings, **arguments)
    other = mmbench.evaluate(second, "knn", gratings, **arguments)
    again = mmbench.evaluate(Means(), "knn", gratings, **arguments)
    assert first == again and first[0].metrics != other[0].metrics
    assert len(list((tmp_path / "bank").glob("*.npy"))) == 4  # train and test of both


class Pooled(nn.Module):
    """A convolution with one of two poolings, which have no tensors."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.pooling = nn.Conv2d(3, 32, 5, stride=2), pooling

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.convolution(images).relu()
        return maps.amax(dim=(2, 3)) if self.pooling == "max" else maps.mean(dim=(2, 3))


def test_modules_of_equal_tensors_that_compute_something_else(gratings: Dataset, tmp_path: Path) -> None:
    """They share neither features nor records, also under one name."""
    arguments: dict[str, Any] = {"name": "pooled", "preprocessing": PLAIN, "device": "cpu"}
    found = {}
    for pooling in ("mean", "max"):
        network = Pooled(pooling)
        (result,) = mmbench.evaluate(
            network, "knn", gratings, out=tmp_path / "results", bank=tmp_path / "bank", **arguments
        )
        with torch.no_grad():
            features = {split: network(central(gratings, split)) for split in ("train", "test")}
        assert result.metrics["top1"].value == pytest.approx(expected_knn(features, gratings))
        found[pooling] = result.weights_sha256
    assert found["mean"] != found["max"]
    (again,) = mmbench.evaluate(Pooled("max"), "knn", gratings, out=tmp_path / "results", **arguments)
    assert again.weights_sha256 == found["max"]


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_what_a_module_computes_is_found_alike_with_other_threads(activation: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=0, act_layer=activation)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(computed_by(network, 64))
    torch.set_num_threads(before)
    assert found[0] == found[1] and len(found[0]) == 9
    torch.manual_seed(0)
    assert found[0] != computed_by(timm.create_model("resnet10t", num_classes=0), 64)


def test_modules_that_cannot_be_asked_what_they_compute() -> None:
    class Noisy(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.rand(len(images), 4)

    assert computed_by(Noisy(), 16) == computed_by(nn.Linear(7, 2), 16) == []


def test_a_module_is_measured_in_evaluation_mode_and_left_as_it_is(gratings: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Small()
    module(torch.randn(64, 3, 16, 16))  # so that the running statistics are not those of a new norm
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    (result,) = mmbench.evaluate(
        module, "knn", gratings, name="small", preprocessing=PLAIN, out=tmp_path, device="cpu"
    )
    assert module.training and all(parameter.requires_grad for parameter in module.parameters())
    assert all(torch.equal(module.state_dict()[name], state[name]) for name in state)
    module.eval()
    with torch.no_grad():
        features = {split: module(central(gratings, split)).mean(dim=(2, 3)) for split in ("train", "test")}
    assert result.metrics["top1"].value == pytest.approx(expected_knn(features, gratings))
    assert result.model.arm == "small"


def test_a_timm_model_built_otherwise_is_not_rebuilt_from_its_name() -> None:
    plain = timm.create_model("resnet10t", num_classes=0)
    dilated = timm.create_model("resnet10t", num_classes=0, output_stride=8)  # same names and shapes
    assert type(model_of_module(plain)) is Backbone
    assert model_of_module(dilated).card.source_format == "encoder"


def test_a_backbone_and_a_run_of_finetuning(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    results = mmbench.evaluate(
        backbone, "finetune", gratings, seeds=(0, 1), overrides={"epochs": 1}, out=tmp_path, device="cpu"
    )
    assert [result.seed for result in results] == [0, 1]
    assert all(result.config["epochs"] == 1 for result in results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "lineer"}, "unknown task 'lineer'; did you mean 'linear'"),
        ({"task": ["knn", "linear"], "overrides": {"epochs": 1}}, "are for a single task"),
        ({"precision": "float8"}, "precision = 'float8': must be one of 'float32', 'bfloat16', 'float16'"),
        ({"labels_file": "labels.txt"}, "knn cannot use labels_file; omit it"),
        ({"name": "mine"}, "name and preprocessing are for an nn.Module"),
        ({"model": Small()}, "Small does not state how its images are normalised"),
        ({"data": "paterns"}, "unknown data set 'paterns'; did you mean 'patterns'"),
    ],
)
def test_wrong_arguments_are_one_line(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    values = {"model": backbone, "task": "knn", "data": gratings, "out": tmp_path / "results", **arguments}
    with pytest.raises(UserError) as error:
        mmbench.evaluate(**values)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "results").exists()


def test_an_encoder_that_returns_something_else(gratings: Dataset, tmp_path: Path) -> None:
    wrong = Means()
    wrong.encode = lambda images: images  # type: ignore[method-assign]
    with pytest.raises(UserError, match="must return features of shape"):
        mmbench.evaluate(wrong, "knn", gratings, out=tmp_path / "results", device="cpu")
    assert not list(tmp_path.rglob("*.json"))
