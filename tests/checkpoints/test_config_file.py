"""timm's config.json with fields that are null, of another kind, unknown or missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from mmbench.checkpoints.config_file import AT_THE_TOP, OF_IMAGES, read_config
from mmbench.checkpoints.reading import load_backbone, read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError

CFG: dict[str, Any] = {
    "input_size": [3, 160, 160],
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.2, 0.3],
    "num_classes": 10,
    "first_conv": "conv1",
    "classifier": "fc",
}
GOOD: dict[str, Any] = {"architecture": "resnet10t", "num_classes": 10, "pretrained_cfg": CFG}


def written(folder: Path, config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(timm.create_model("resnet10t", num_classes=10).state_dict())


@pytest.mark.parametrize(
    ("change", "cfg"),
    [
        ({"model_args": None}, {}),
        ({"model_args": {"output_stride": None}}, {}),
        ({"num_classes": None}, {"num_classes": None}),
        ({"mmbench": None, "label_names": None}, {"crop_pct": None, "first_conv": None, "classifier": None}),
        ({}, {"a_field_of_later_versions": 3}),
    ],
    ids=["model_args", "argument", "num_classes", "others", "unknown"],
)
def test_null_is_as_if_a_field_were_not_there(
    tmp_path: Path, tensors: dict[str, torch.Tensor], change: dict[str, Any], cfg: dict[str, Any]
) -> None:
    folder = written(tmp_path / "it", {**GOOD, **change, "pretrained_cfg": {**CFG, **cfg}})
    save_file(tensors, folder / "model.safetensors")
    for spec in (f"local-dir:{folder}", str(folder)):
        found = load_backbone(spec)
        assert found.card.preprocessing.mean == (0.5, 0.4, 0.3), spec
        assert found.card.preprocessing.image_size == 160
        assert all(torch.equal(found.state_dict[name], tensors[name]) for name in found.state_dict)


def test_images_that_no_field_states_are_assumed_by_name_too(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    folder = written(tmp_path / "it", {"architecture": "resnet10t", "pretrained_cfg": None})
    save_file(tensors, folder / "model.safetensors")
    read = read_checkpoint(f"local-dir:{folder}")
    assert read.backbone.card.preprocessing.mean == (0.485, 0.456, 0.406)
    assert "config.json" not in read.backbone.card.origins["preprocessing"]
    assert any("the file says nothing of them" in phrase for phrase in read.reading.assumed)


@pytest.mark.parametrize("value", ["text", 3.5, True, [1, "two"], {"a": 1}], ids=str)
@pytest.mark.parametrize("name", sorted(AT_THE_TOP))
def test_a_field_of_another_kind_is_named(tmp_path: Path, name: str, value: Any) -> None:
    _, fits = AT_THE_TOP[name]
    if fits(value):
        assert read_config(written(tmp_path, {**GOOD, name: value}) / "config.json")[name] == value
        return
    with pytest.raises(UserError, match=rf"config\.json: {name} = .*: must be .*; correct it, or remove it"):
        read_config(written(tmp_path, {**GOOD, name: value}) / "config.json")
    if name in OF_IMAGES:
        with pytest.raises(UserError, match=rf"config\.json: pretrained_cfg\.{name} = "):
            config = {**GOOD, "pretrained_cfg": {**CFG, name: value}}
            read_config(written(tmp_path, config) / "config.json")


@pytest.mark.parametrize("text", ["[" * 100_000, "", "{", "null", "[1]", "{}", '{"architecture": null}'])
def test_what_is_no_configuration_of_timm_is_one_line(tmp_path: Path, text: str) -> None:
    for spec in (f"local-dir:{written(tmp_path / 'it', text[:200_000])}",):
        (tmp_path / "it" / "model.safetensors").write_bytes(b"never read")
        with pytest.raises(UserError, match=r"config\.json is not timm's config\.json \(") as caught:
            load_backbone(spec)
        assert "\n" not in str(caught.value)


def test_a_mark_of_the_byte_order_is_no_damage(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps(GOOD)
    assert read_config(written(tmp_path, text) / "config.json")["pretrained_cfg"] == CFG


def test_a_damaged_configuration_beside_a_file_is_said(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    model = timm.create_model("mixmask_resnet8", num_classes=3)
    folder = written(tmp_path / "it", {**GOOD, "model_args": [1]})
    torch.save(model.state_dict(), folder / "mine.pth")
    said = read_checkpoint(folder / "mine.pth").reading.assumed
    assert any("config.json: model_args = [1]: must be a section" in phrase for phrase in said)


@pytest.mark.parametrize("written_as", [0.5, [0.5]], ids=str)
def test_one_number_stands_for_all_colours(
    tmp_path: Path, tensors: dict[str, torch.Tensor], written_as: Any
) -> None:
    config = {**GOOD, "pretrained_cfg": {**CFG, "mean": written_as, "std": written_as}, "mean": 0.25}
    folder = written(tmp_path / "it", config)
    save_file(tensors, folder / "model.safetensors")
    for spec in (f"local-dir:{folder}", str(folder)):
        card = load_backbone(spec).card
        assert card.preprocessing.mean == card.preprocessing.std == (0.5, 0.5, 0.5)
        assert card.origins["mean"] == "that of pretrained_cfg; config.json states 0.25 at its top"


def test_half_of_mean_and_std_is_refused_where_nobody_states_both(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    config = {**GOOD, "pretrained_cfg": {name: value for name, value in CFG.items() if name != "std"}}
    folder = written(tmp_path / "it", config)
    save_file(tensors, folder / "model.safetensors")
    stated = Stated(mean=(0.1, 0.2, 0.3), std=(0.3, 0.3, 0.3))
    for spec in (f"local-dir:{folder}", str(folder)):
        with pytest.raises(UserError, match="states mean of its images alone; state both by --mean and"):
            load_backbone(spec)
        assert load_backbone(spec, stated=stated).card.preprocessing.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("crop", [1.5, 0, -0.5, float("nan"), 87.5])
def test_a_share_that_cannot_be_is_named(
    tmp_path: Path, tensors: dict[str, torch.Tensor], crop: float
) -> None:
    folder = written(tmp_path / "it", {**GOOD, "pretrained_cfg": {**CFG, "crop_pct": crop}})
    save_file(tensors, folder / "model.safetensors")
    for spec in (f"local-dir:{folder}", str(folder)):
        card = load_backbone(spec).card
        assert card.preprocessing.crop_pct is None
        said = f"left open; config.json states {crop:g}, which is not above 0 and at most 1"
        assert card.origins["crop_pct"] == said


def test_images_that_are_not_square_are_said(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    folder = written(tmp_path / "it", {**GOOD, "pretrained_cfg": {**CFG, "input_size": [3, 128, 96]}})
    save_file(tensors, folder / "model.safetensors")
    said = "images of 96 x 96 px: config.json states a height of 128 and a width of 96 px (--image-size)"
    for spec in (f"local-dir:{folder}", str(folder)):
        read = read_checkpoint(spec)
        assert read.backbone.card.preprocessing.image_size == 96 and said in read.reading.assumed
        assert said not in read_checkpoint(spec, stated=Stated(image_size=112)).reading.assumed


def test_what_timm_fills_in_is_not_what_a_configuration_states(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    folder = written(tmp_path / "it", {"architecture": "resnet10t", "num_classes": 10})
    save_file(tensors, folder / "model.safetensors")
    by_name, by_path = (load_backbone(spec).card for spec in (f"local-dir:{folder}", str(folder)))
    assert by_name.preprocessing == by_path.preprocessing
    assert by_name.preprocessing.crop_pct is None and "interpolation" not in by_name.origins
