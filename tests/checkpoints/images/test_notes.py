"""What a card says of images comes back from every target's file, or a note says what is lost."""

import functools
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, OWN_IMAGES, ModelCard, Preprocessing
from mmbench.checkpoints.conversion import convert_checkpoint
from mmbench.checkpoints.networks.options import departing
from mmbench.checkpoints.reading import load_backbone
from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.stating import stated_from
from mmbench.checkpoints.writing import convert
from mmbench.errors import UserError

OUT = {
    "timm": "folder",
    "safetensors": "bare.safetensors",
    "torchvision": "tv.pth",
    "detectron2": "d2.pkl",
    "mmseg": "seg.pth",
    "mmpretrain": "pre.pth",
    "mmdet": "det.pth",
}
UNIT = {"detectron2": 255, "mmseg": 255, "mmpretrain": 255, "mmdet": 255}
PART = st.integers(1, 99).map(lambda value: value / 100)
TRIPLE = st.tuples(PART, PART, PART)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "output_stride": st.sampled_from([8, 16, 32]),
        "stem_pool": st.booleans(),
    },
)


@functools.cache
def weights() -> dict[str, Tensor]:
    torch.manual_seed(4)
    return dict(timm.create_model("mixmask_resnet18", num_classes=0).state_dict())


def backbone(preprocessing: Preprocessing, origins: dict[str, str] | None = None, **options: int) -> Backbone:
    card = ModelCard(
        arm="any",
        arch="mixmask_resnet18",
        arch_options=options,
        preprocessing=preprocessing,
        source_format="run",
        origins=origins or {},
    )
    return Backbone("mixmask_resnet18", weights(), card)


def options_in(notes: tuple[str, ...]) -> Stated:
    """What a user states who follows the notes."""
    found = dict(re.findall(r"--(mean|std|image-size) (\S+)", " ".join(notes)))
    size = found.get("image-size")
    read = stated_from(mean=found.get("mean"), std=found.get("std"))
    return Stated(mean=read.mean, std=read.std, image_size=int(size) if size else None)


@pytest.mark.parametrize("target", OUT)
@settings(max_examples=6, deadline=None)
@given(
    mean=st.one_of(st.just(IMAGENET_MEAN), TRIPLE),
    std=st.one_of(st.just(IMAGENET_STD), TRIPLE),
    size=st.sampled_from([224, 64, 288]),
    crop=st.sampled_from([None, 0.95]),
    options=OPTIONS,
)
def test_what_comes_back_equals_or_a_note_says_it(
    target: str,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    size: int,
    crop: float | None,
    options: dict[str, int],
) -> None:
    wanted = Preprocessing(mean=mean, std=std, image_size=size, crop_pct=crop)
    source = backbone(wanted, **options)
    with TemporaryDirectory() as folder:
        out = Path(folder) / OUT[target]
        try:
            receipt = convert(source, out, target, verify=False)
        except UserError:
            assert target in ("torchvision", "mmdet") and departing("mixmask_resnet18", options)
            return
        again = load_backbone(out).card
        followed = load_backbone(out, stated=options_in(receipt.notes)).card.preprocessing
    assert departing("mixmask_resnet18", again.arch_options) == departing("mixmask_resnet18", options)
    notes = " ".join(receipt.notes)
    assert followed.mean == pytest.approx(mean) and followed.std == pytest.approx(std)
    assert followed.image_size == size
    assert again.preprocessing.crop_pct == crop or f"middle {crop}" in notes
    lost = again.preprocessing != wanted
    assert lost == (target == "torchvision" and (mean, std, size, crop) != (*usual(), 224, None))
    told = re.search(r"of 0 to (\d+) by mean (\S+) and std ([\d.,e-]+),", notes)
    assert (told is not None) == (target != "timm" and (mean, std) != usual())
    if told is not None:
        assert int(told[1]) == UNIT.get(target, 1)
        for text, values in ((told[2], mean), (told[3], std)):
            expected = [value * UNIT.get(target, 1) for value in values]
            assert list(map(float, text.split(","))) == pytest.approx(expected, rel=1e-5)


def usual() -> tuple[tuple[float, ...], tuple[float, ...]]:
    return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("target", OUT)
def test_usual_images_need_no_note(target: str, tmp_path: Path) -> None:
    rounded = tuple(value / 255 for value in (123.675, 116.28, 103.53))
    convert(backbone(Preprocessing(mean=rounded)), tmp_path / OUT[target], target, verify=False)
    receipts = list(tmp_path.rglob("*receipt.json"))
    assert len(receipts) == 1 and "notes" not in json.loads(receipts[0].read_text())


def test_a_crop_that_says_nothing_of_other_images_needs_no_note(tmp_path: Path) -> None:
    source = backbone(Preprocessing(crop_pct=0.9), {"crop_pct": OWN_IMAGES})
    assert convert(source, tmp_path / "tv.pth", "torchvision", verify=False).notes == ()


def test_a_conversion_says_what_was_stated(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "a.pth")
    stated = Stated(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), image_size=128)
    receipt = convert_checkpoint(
        tmp_path / "a.pth", "torchvision", tmp_path / "b.pth", stated=stated, verify=False
    )
    assert "mean 0.4,0.5,0.6 and std 0.2,0.3,0.25, which are not ImageNet's" in receipt.notes[0]
    assert "--image-size 128" in receipt.notes[1] and len(receipt.notes) == 2
