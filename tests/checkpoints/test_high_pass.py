"""The high-pass filter of MSCN-style weights goes wherever the weights go, or the target is refused."""

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors import safe_open
from torch import Tensor

import mmbench
from mmbench.checkpoints.backbone import Backbone, create_headless
from mmbench.checkpoints.card import HighPass, ModelCard, Preprocessing
from mmbench.checkpoints.files.opening import open_checkpoint
from mmbench.checkpoints.networks.network import timm_stages
from mmbench.checkpoints.networks.options import high_pass_in
from mmbench.checkpoints.proof.receipt import Receipt
from mmbench.checkpoints.reading import load_backbone
from mmbench.checkpoints.writing import convert, write_for_detectron2, write_for_mmseg
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess
from mmbench.neighbours import knn_scores

FILTER = HighPass(kernel_size=3, sigma=0.71)
OUT = {
    "timm": "folder",
    "safetensors": "bare.safetensors",
    "detectron2": "d2.pkl",
    "mmseg": "seg.pth",
    "mmpretrain": "pre.pth",
}


@functools.cache
def weights(arch: str, **options: bool | int) -> dict[str, Tensor]:
    torch.manual_seed(2)
    return dict(create_headless(arch, **options).state_dict())


def mscn(arch: str = "mixmask_resnet18", **more: Any) -> Backbone:
    preprocessing = Preprocessing(image_size=32, high_pass=FILTER, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2))
    card = ModelCard(arm="mscn", arch=arch, source_format="run", preprocessing=preprocessing, **more)
    return Backbone(arch, weights(arch, **card.arch_options), card)


def pictures() -> Tensor:
    return torch.randint(
        0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(5)
    )


def ours(backbone: Backbone) -> list[Tensor]:
    """The stages as mmbench itself computes them."""
    return timm_stages(backbone.build().eval(), Preprocess(backbone.card.preprocessing)(pictures()))


def normalised(backbone: Backbone) -> Tensor:
    """What timm's own transforms give: no filter."""
    mean, std = (
        torch.tensor(v).view(3, 1, 1)
        for v in (backbone.card.preprocessing.mean, backbone.card.preprocessing.std)
    )
    return (pictures().float() / 255 - mean) / std


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    for theirs, own in zip(found, expected[-len(found) :], strict=True):
        assert float((theirs - own).abs().max() / own.abs().max()) < 1e-5


@pytest.mark.parametrize(
    "arch", ["mixmask_resnet18", "mixmask_resnet8", "mixmask_resnet18_cifar", "resnet18"]
)
def test_a_timm_folder_holds_the_filter(arch: str, tmp_path: Path) -> None:
    backbone = mscn(arch)
    receipt = convert(backbone, tmp_path / "folder", "timm")
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert config["model_args"] == {"high_pass": [3, 0.71]} and high_pass_in(config) == FILTER
    assert config["architecture"] == ("mixmask_resnet18" if arch == "resnet18" else arch)
    model = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True).eval()
    assert_same(timm_stages(model, normalised(backbone)), ours(backbone))
    assert any("high_pass=(3, 0.71)" in note for note in receipt.notes)
    assert "high_pass=(3, 0.71)" in (tmp_path / "folder" / "README.md").read_text()
    with safe_open(tmp_path / "folder" / "model.safetensors", "pt") as stream:
        assert ModelCard.model_validate_json(stream.metadata()["card"]) == backbone.card


@pytest.mark.parametrize("target", ["detectron2", "mmseg", "mmpretrain", "safetensors"])
@pytest.mark.parametrize("arch", ["mixmask_resnet18", "mixmask_resnet8", "resnet18"])
def test_other_targets_wrap_the_network_that_holds_it(target: str, arch: str, tmp_path: Path) -> None:
    backbone = mscn(arch)
    receipt = convert(backbone, tmp_path / OUT[target], target)
    assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5
    assert "high_pass=(3, 0.71)" in receipt.verification
    note, images = receipt.notes
    assert "high_pass=(3, 0.71)" in note and "not ImageNet's" in images
    assert json.loads((tmp_path / f"{OUT[target]}.receipt.json").read_text())["notes"] == [note, images]


def test_the_configuration_in_the_note_builds_mmseg_s_network(tmp_path: Path) -> None:
    import mmseg.models  # noqa: F401  (fills the registry)
    from mmseg.registry import MODELS

    backbone = mscn()
    receipt = convert(backbone, tmp_path / "seg.pth", "mmseg", verify=False)
    call = receipt.notes[0].partition(", and custom_imports")[0].removeprefix("backbone=")
    config = eval(call, {"dict": dict, "THIS_FILE": str(tmp_path / "seg.pth")})
    model = MODELS.build(config)
    model.init_weights()
    model.eval()
    with torch.inference_mode():
        assert_same(list(model(normalised(backbone))), ours(backbone))


def test_the_call_in_the_note_builds_the_network_of_a_bare_file(tmp_path: Path) -> None:
    backbone = mscn()
    receipt = convert(backbone, tmp_path / "bare.safetensors", "safetensors")
    call = receipt.notes[0].partition("build the network by ")[2].partition(", and no other")[0]
    model = eval(call, {"timm": timm}).eval()
    state = open_checkpoint(tmp_path / "bare.safetensors").tensors
    model.load_state_dict(state)
    assert_same(timm_stages(model, normalised(backbone)), ours(backbone))


@pytest.mark.parametrize("target", ["torchvision", "mmdet"])
@pytest.mark.parametrize("arch", ["mixmask_resnet18", "resnet50", "mixmask_resnet18_cifar"])
def test_targets_that_cannot_hold_it_are_refused(target: str, arch: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"high-pass filter .*--to timm.*--without-high-pass") as refused:
        convert(mscn(arch), tmp_path / "out.pth", target)
    assert "\n" not in str(refused.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", OUT)
def test_networks_of_timm_that_have_no_place_for_it_are_refused(target: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="resnet26d has no place for the high-pass filter"):
        convert(mscn("resnet26d"), tmp_path / OUT[target], target)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("target", "out"), [("torchvision", "tv.pth"), ("timm", "folder"), ("detectron2", "d2.pkl")]
)
def test_leaving_the_filter_out_is_said(target: str, out: str, tmp_path: Path) -> None:
    receipt = convert(mscn(), tmp_path / out, target, without_high_pass=True)
    assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5
    assert any(
        "left out, as asked" in note and "kernel 3 px, sigma 0.71 px" in note for note in receipt.notes
    )
    if target == "timm":
        assert "model_args" not in json.loads((tmp_path / out / "config.json").read_text())
        card = ModelCard.model_validate_json((tmp_path / out / "card.json").read_text())
        assert card.preprocessing.high_pass == FILTER


def test_a_network_that_lost_its_filter_fails_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmbench.resnets.behind_high_pass", lambda convolution, high_pass: convolution)
    with pytest.raises(UserError, match="differs by"):
        convert(mscn(), tmp_path / "folder", "timm")
    assert not list(tmp_path.iterdir())


def test_mmbench_itself_filters_images_and_not_twice(tmp_path: Path) -> None:
    backbone = mscn()
    assert not [m for m in backbone.build().modules() if type(m).__name__ == "HighPassFilter"]
    for write, path in ((write_for_detectron2, "a.pkl"), (write_for_mmseg, "a.pth")):
        receipt: Receipt = write(backbone, tmp_path / path)
        assert "timm_model" not in next(iter(receipt.names.values()))


def test_weights_without_a_filter_are_written_as_before(tmp_path: Path) -> None:
    backbone = mscn()
    preprocessing = backbone.card.preprocessing.model_copy(update={"high_pass": None})
    bare = replace(backbone, card=backbone.card.model_copy(update={"preprocessing": preprocessing}))
    receipt = convert(bare, tmp_path / "seg.pth", "mmseg", verify=False)
    (images,) = receipt.notes
    assert "mean 102,127.5,153 and std 51,76.5,51" in images
    assert receipt.names["conv1.weight"] == "conv1.weight"
    convert(bare, tmp_path / "folder", "timm", verify=False)
    assert "model_args" not in json.loads((tmp_path / "folder" / "config.json").read_text())


@pytest.mark.parametrize("stated", [[3], "3,1", {"kernel_size": 3}, [3, "wide"], 3, [3.5, 1.0]])
def test_a_filter_that_config_json_spells_wrongly_is_refused(stated: Any) -> None:
    with pytest.raises(UserError, match="high_pass"):
        high_pass_in({"model_args": {"high_pass": stated}})
    assert high_pass_in({}) is None and high_pass_in({"model_args": None}) is None
    assert mmbench.__version__


@pytest.mark.parametrize(
    "values",
    [
        {"kernel_size": 4, "sigma": 1.0},
        {"kernel_size": 0, "sigma": 1.0},
        {"kernel_size": -3, "sigma": 1.0},
        {"kernel_size": 3, "sigma": 0.0},
        {"kernel_size": 3, "sigma": float("nan")},
        {"kernel_size": 3, "sigma": float("inf")},
        {"kernel_size": 10**9 + 1, "sigma": 1.0},
    ],
)
def test_a_card_holds_no_impossible_filter(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HighPass(**values)
    with pytest.raises(UserError, match="high_pass"):
        high_pass_in({"model_args": {"high_pass": list(values.values())}})


def test_a_filter_that_is_wider_than_the_usual_batch_is_proved_too(tmp_path: Path) -> None:
    wide = HighPass(kernel_size=151, sigma=40.0)
    preprocessing = Preprocessing(image_size=224, high_pass=wide)
    backbone = replace(mscn(), card=mscn().card.model_copy(update={"preprocessing": preprocessing}))
    receipt = convert(backbone, tmp_path / "folder", "timm")
    assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5


@pytest.mark.parametrize("target", OUT)
@pytest.mark.parametrize("arch", ["mixmask_resnet18", "mixmask_resnet8", "resnet18"])
def test_what_was_written_is_read_back_and_filtered_once(target: str, arch: str, tmp_path: Path) -> None:
    backbone = mscn(arch)
    convert(backbone, tmp_path / OUT[target], target, verify=False)
    again = load_backbone(tmp_path / OUT[target])
    assert again.card.preprocessing == backbone.card.preprocessing and again.card.arm == "mscn"
    for found, expected in zip(ours(again), ours(backbone), strict=True):
        assert torch.equal(found, expected)


def test_neighbours_through_timm_alone_are_mmbench_s(tmp_path: Path) -> None:
    backbone = mscn("mixmask_resnet18_cifar")
    convert(backbone, tmp_path / "folder", "timm")
    generator = torch.Generator().manual_seed(11)
    images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=generator)
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in (backbone.card.preprocessing.mean, backbone.card.preprocessing.std)
    )
    by_timm = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True).eval()
    with torch.inference_mode():
        theirs = by_timm((images.float() / 255 - mean) / std)
        own = backbone.build().eval()(Preprocess(backbone.card.preprocessing)(images))
        lost = backbone.build().eval()((images.float() / 255 - mean) / std)
    labels = torch.arange(64) % 4
    votes = [
        knn_scores(features[48:], features[:48], labels[:48], 4, neighbours=5, temperature=0.1)
        for features in (theirs, own, lost)
    ]
    assert torch.allclose(votes[0], votes[1], rtol=1e-4)
    assert not torch.allclose(votes[0], votes[2], rtol=1e-2)
