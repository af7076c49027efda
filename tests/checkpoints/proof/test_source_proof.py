"""What was read is compared with the network of the library that wrote the file, on raw images."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from layouts import backbone_of, detectron2_network, moco, solo_learn, trained_resnet, under
from torch import nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.conversion import convert_checkpoint
from mmbench.checkpoints.openmmlab import build as openmmlab_build
from mmbench.checkpoints.proof.receipt import Receipt
from mmbench.checkpoints.proof.source_proof import prove_source
from mmbench.checkpoints.reading import ReadCheckpoint, read_checkpoint
from mmbench.errors import UserError

BGR_MEAN = (103.53, 116.28, 123.675)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_resnet()


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "a.bin")
    return folder / "a.bin"


def detector(model: nn.Module) -> dict[str, Any]:
    pixels = {"pixel_mean": torch.tensor(BGR_MEAN).view(3, 1, 1), "pixel_std": torch.full((3, 1, 1), 57.0)}
    state = {n: t for n, t in detectron2_network(model).state_dict().items() if "num_batches" not in n}
    return {"model": under("backbone.bottom_up.", state) | pixels}


def openmmlab(model: nn.Module) -> dict[str, Any]:
    text = (
        "model = dict(backbone=dict(type='ResNet', depth=18, style='pytorch'), data_preprocessor=dict("
        f"mean={list(BGR_MEAN)}, std=[57.0, 58.0, 59.0], bgr_to_rgb=False))"
    )
    return {"meta": {"cfg": text}, "state_dict": under("backbone.", backbone_of(model))}


def timm_folder(model: nn.Module, folder: Path) -> Path:
    (folder / "t").mkdir()
    cfg = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "input_size": [3, 64, 64]}
    (folder / "t" / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": cfg}))
    torch.save(model.state_dict(), folder / "t" / "pytorch_model.bin")
    return folder / "t"


def file_of(library: str, model: nn.Module, folder: Path) -> Path:
    if library == "timm":
        return timm_folder(model, folder)
    if library == "moco":
        moco(model, folder / "a.bin")
        return folder / "a.bin"
    contents = {"detectron2": detector, "mmpretrain": openmmlab, "torchvision": lambda m: m.state_dict()}
    return saved(contents[library](model), folder)


@pytest.mark.parametrize("library", ["detectron2", "mmpretrain", "timm", "torchvision", "moco"])
def test_the_source_librarys_own_network_gives_our_features(
    library: str, model: nn.Module, tmp_path: Path
) -> None:
    found = prove_source(read_checkpoint(file_of(library, model, tmp_path)))
    assert found.library == ("torchvision" if library == "moco" else library)
    assert found.error is not None and found.error < 1e-4


def spoiled(read: ReadCheckpoint, what: str) -> ReadCheckpoint:
    """The reading with one thing wrong, as a faulty reader would leave it."""
    backbone = read.backbone
    if what == "colours":
        state = backbone.state_dict | {"conv1.weight": backbone.state_dict["conv1.weight"].flip(1)}
        return replace(read, backbone=replace(backbone, state_dict=state))
    if what == "a tensor":
        state = backbone.state_dict | {"layer3.0.bn1.bias": backbone.state_dict["layer3.0.bn1.bias"] + 0.1}
        return replace(read, backbone=replace(backbone, state_dict=state))
    card = backbone.card.model_copy(update={"preprocessing": Preprocessing(mean=(0.6, 0.1, 0.3))})
    return replace(read, backbone=replace(backbone, card=card))


@pytest.mark.parametrize("what", ["colours", "a tensor", "mean"])
@pytest.mark.parametrize("library", ["detectron2", "mmpretrain", "timm", "torchvision"])
def test_whatever_is_read_wrongly_fails_the_proof(
    library: str, what: str, model: nn.Module, tmp_path: Path
) -> None:
    read = read_checkpoint(file_of(library, model, tmp_path))
    with pytest.raises(UserError, match="other features than what was read") as error:
        prove_source(spoiled(read, what))
    assert "\n" not in str(error.value)


def test_the_receipt_holds_the_comparison_or_says_why_there_is_none(model: nn.Module, tmp_path: Path) -> None:
    source = file_of("detectron2", model, tmp_path)
    receipt = convert_checkpoint(source, "safetensors", tmp_path / "a.safetensors")
    assert receipt.source_parity is not None and receipt.source_parity.library == "detectron2"
    stored = (tmp_path / "a.safetensors.receipt.json").read_text()
    assert json.loads(stored)["source_parity"]["error"] < 1e-4
    again = Receipt.model_validate_json(stored)
    assert again.id == receipt.id
    older = json.loads(stored)
    del older["source_parity"]
    assert "source_parity" not in json.loads(Receipt.model_validate(older).model_dump_json())
    own = convert_checkpoint(tmp_path / "a.safetensors", "safetensors", tmp_path / "b.safetensors")
    assert own.source_parity is not None and own.source_parity.error is None
    assert "own weights" in own.source_parity.words


def test_what_has_no_library_is_said(model: nn.Module, tmp_path: Path) -> None:
    state = backbone_of(model) | {"conv1.weight": torch.randn(64, 3, 3, 3)}
    found = prove_source(read_checkpoint(saved(state, tmp_path)))
    assert found.error is None and "no library" in found.words


def test_a_library_that_is_missing_is_said(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_checkpoint(file_of("mmpretrain", model, tmp_path))
    monkeypatch.setattr(openmmlab_build, "registries", dict)
    found = prove_source(read)
    assert found.error is None and "neither mmpretrain nor mmseg is installed" in found.words


def test_solo_learns_networks_are_torchvisions(model: nn.Module, tmp_path: Path) -> None:
    solo_learn(model, tmp_path / "a.ckpt")
    assert prove_source(read_checkpoint(tmp_path / "a.ckpt")).library == "torchvision"
