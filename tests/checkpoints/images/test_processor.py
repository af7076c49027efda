"""preprocessor_config.json of transformers: read beside the weights, compared with config.json, or named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from mmbench.checkpoints.images.processor import PROCESSOR, read_processor
from mmbench.checkpoints.reading import load_backbone, read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
IMAGES: dict[str, Any] = {"image_mean": MEAN, "image_std": STD}
NETWORK: dict[str, Any] = {"architecture": "resnet10t", "num_classes": 3}
Read = dict[str, Any]


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return dict(timm.create_model("resnet10t", num_classes=3).state_dict())


def folder_of(tmp_path: Path, tensors: dict[str, torch.Tensor], config: Any, processor: Any) -> Path:
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / PROCESSOR).write_text(json.dumps(processor))
    return tmp_path


def stated_by(tmp_path: Path, processor: dict[str, Any]) -> Read:
    (tmp_path / PROCESSOR).write_text(json.dumps(processor))
    return dict(read_processor(tmp_path / PROCESSOR).values)


def by_name_and_path(folder: Path) -> tuple[str, str]:
    return f"local-dir:{folder}", str(folder)


def test_it_is_read_where_config_json_states_no_images(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    processor = {
        **IMAGES,
        "size": {"shortest_edge": 128},
        "crop_size": {"height": 96, "width": 96},
        "resample": 3,
    }
    for spec in by_name_and_path(folder_of(tmp_path, tensors, NETWORK, processor)):
        read = read_checkpoint(spec)
        card, found = read.backbone.card, read.backbone.card.preprocessing
        assert (found.mean, found.std) == (tuple(MEAN), tuple(STD))
        assert (found.image_size, found.crop_pct) == (96, 0.75)
        for fact in ("preprocessing", "image_size", "crop_pct"):
            assert card.origins[fact] == PROCESSOR
        assert card.origins["interpolation"] == f"bilinear, as always here; {PROCESSOR} states bicubic"
        assert not any("says nothing" in phrase for phrase in read.reading.assumed)


def test_config_json_wins_and_the_difference_is_said(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    cfg = {"mean": [0.1, 0.2, 0.3], "std": STD, "input_size": [3, 160, 160]}
    processor = {**IMAGES, "size": 96}
    for spec in by_name_and_path(folder_of(tmp_path, tensors, {**NETWORK, "pretrained_cfg": cfg}, processor)):
        card = load_backbone(spec).card
        assert card.preprocessing.mean == (0.1, 0.2, 0.3) and card.preprocessing.image_size == 160
        assert card.origins["mean"] == f"that of config.json; {PROCESSOR} states 0.5, 0.4, 0.3"
        assert card.origins["image_size"] == f"config.json; {PROCESSOR} states 96"
        assert "std" not in card.origins


def test_its_names_are_read_in_config_json_too(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    places: list[tuple[dict[str, Any], str | None]] = [
        ({**NETWORK, **IMAGES}, None),
        ({**NETWORK, "pretrained_cfg": IMAGES}, None),
        ({**NETWORK, "pretrained_cfg": {"num_classes": 3}, **IMAGES}, None),
        (
            {**NETWORK, "pretrained_cfg": {**IMAGES, "mean": MEAN, "std": STD}, "image_mean": 0.7},
            "that of pretrained_cfg; config.json states 0.7 at its top as image_...",
        ),
    ]
    for config, said in places:
        folder = folder_of(tmp_path, tensors, config, {})
        for spec in by_name_and_path(folder):
            card = load_backbone(spec).card
            assert (card.preprocessing.mean, card.preprocessing.std) == (tuple(MEAN), tuple(STD))
            assert card.origins["preprocessing"] == "config.json" and card.origins.get("mean") == said


@pytest.mark.parametrize(
    ("fields", "white", "offset"),
    [
        ({}, 1.0, 0.0),
        ({"rescale_factor": 0.00392156862745098}, 1.0, 0.0),
        ({"rescale_factor": 1 / 127.5}, 2.0, 0.0),
        ({"rescale_factor": 1 / 127.5, "rescale_offset": True}, 2.0, -1.0),
        ({"do_rescale": False, "image_mean": [128, 127, 126], "image_std": [50, 51, 52]}, 255.0, 0.0),
        ({"do_normalize": False}, 1.0, 0.0),
        ({"do_normalize": False, "do_rescale": False}, 255.0, 0.0),
    ],
    ids=str,
)
def test_mean_and_std_are_of_images_in_0_to_1(
    tmp_path: Path, fields: dict[str, Any], white: float, offset: float
) -> None:
    """An image x in [0, 1] becomes (white x + offset - mean) / std by the processor's own steps."""
    processor = {**IMAGES, **fields}
    found = stated_by(tmp_path, processor)
    means, stds = (processor["image_mean"], processor["image_std"])
    if fields.get("do_normalize") is False:
        means, stds = [0, 0, 0], [1, 1, 1]
    for colour in range(3):
        for x in (0.0, 0.3, 1.0):
            theirs = (white * x + offset - means[colour]) / stds[colour]
            ours = (x - found["mean"][colour]) / found["std"][colour]
            assert math.isclose(theirs, ours, rel_tol=1e-6, abs_tol=1e-6)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"size": 96}, (96, 1.0)),
        ({"size": {"height": 96, "width": 96}}, (96, 1.0)),
        ({"size": [96, 96]}, (96, 1.0)),
        ({"size": 128, "crop_size": 96}, (96, 0.75)),
        ({"size": 128, "crop_size": 96, "do_center_crop": False}, (128, 1.0)),
        ({"size": 128, "crop_size": 96, "do_resize": False}, (96, None)),
        ({"size": {"shortest_edge": 96}, "crop_pct": 0.75}, (96, 0.75)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.75}, (384, 1.0)),
        ({"size": {"shortest_edge": 96}}, (96, 1.0)),
        ({"size": 96, "crop_size": 128}, (128, None)),
        ({}, (None, None)),
    ],
    ids=str,
)
def test_sizes_of_every_spelling(
    tmp_path: Path, fields: dict[str, Any], expected: tuple[int | None, float | None]
) -> None:
    found = stated_by(tmp_path, fields)
    assert (found.get("image_size"), found.get("crop_pct")) == expected


def test_what_is_not_usable_is_named(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    processor = {**IMAGES, "size": {"shortest_edge": 800, "longest_edge": 1333}, "do_pad": True}
    for spec in by_name_and_path(folder_of(tmp_path, tensors, NETWORK, processor)):
        read = read_checkpoint(spec)
        assert f"do_pad=true of {PROCESSOR} is not followed" in read.reading.assumed
        assert any("longest_edge" in one and "is not used" in one for one in read.reading.assumed)
        assert read.backbone.card.preprocessing.image_size == 176


def test_half_and_bgr_are_refused_until_stated(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    stated = Stated(mean=(0.1, 0.2, 0.3), std=(0.3, 0.3, 0.3), channels="rgb")
    for processor, words in (
        ({"image_mean": MEAN}, "states image_mean of its images alone"),
        ({**IMAGES, "do_flip_channel_order": True}, "state --channels bgr, or"),
    ):
        for spec in by_name_and_path(folder_of(tmp_path, tensors, NETWORK, processor)):
            with pytest.raises(UserError, match=words):
                load_backbone(spec)
            assert load_backbone(spec, stated=stated).card.preprocessing.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not a configuration of images"),
        ("[1]", "no fields in it"),
        ('{"image_mean": "a", "image_std": 1}', "image_mean = 'a': must be three numbers"),
        ('{"image_mean": [1, 2], "image_std": 1}', "must be three numbers"),
        ('{"image_mean": 0.5, "image_std": 0.5, "rescale_factor": 0}', "rescale_factor = 0: must be"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, tensors: dict[str, torch.Tensor], text: str, words: str
) -> None:
    folder = folder_of(tmp_path, tensors, NETWORK, {})
    (folder / PROCESSOR).write_text(text)
    for spec in by_name_and_path(folder):
        with pytest.raises(UserError, match=words) as refused:
            load_backbone(spec)
        assert "\n" not in str(refused.value)


def test_beside_a_file_that_nothing_describes_it_is_named(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    torch.save(timm.create_model("mixmask_resnet8", num_classes=3).state_dict(), tmp_path / "mine.pth")
    (tmp_path / PROCESSOR).write_text(json.dumps(IMAGES))
    read = read_checkpoint(tmp_path / "mine.pth")
    assert read.backbone.card.preprocessing.mean == (0.485, 0.456, 0.406)
    assert (
        f"{PROCESSOR} lies beside the file and may be of other weights, so it was not used"
        in read.reading.assumed
    )
