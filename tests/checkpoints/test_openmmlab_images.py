"""Of the places in an OpenMMLab configuration that speak of images, those that the library runs count."""

from pathlib import Path
from typing import Any

import pytest
import torch
from layouts import backbone_of, trained_resnet, under
from torch import nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.openmmlab_config import facts_in
from mmbench.checkpoints.parity import relative_error
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.source_proof import prove_source
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError
from mmbench.preprocessing import Preprocess

IMAGENET = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]"
HALF = "mean=[127.5, 127.0, 126.0], std=[127.5, 127.5, 127.5]"
BACKBONE = "backbone=dict(type='ResNet', depth=18, style='pytorch')"


def step(values: str) -> str:
    return f"[dict(type='Load'), dict(type='Flip', transforms=[dict(type='Normalize', {values})])]"


# Whatever stands first is left over; HALF in BGR is what the library runs.
STALE = {
    "mmengine, the model's own": (
        f"data_preprocessor = dict({IMAGENET}, bgr_to_rgb=True)\n"
        f"model = dict({BACKBONE}, data_preprocessor=dict({HALF}, bgr_to_rgb=False))\n"
    ),
    "mmengine, branches": (
        f"data_preprocessor = dict({IMAGENET}, bgr_to_rgb=True)\n"
        f"model = dict({BACKBONE}, data_preprocessor=dict(type='Multi', data_preprocessor=dict({HALF})))\n"
    ),
    "mmengine, the variable where the model has none": (
        f"other = dict(data_preprocessor=dict({IMAGENET}, bgr_to_rgb=True))\n"
        f"data_preprocessor = dict({HALF}, to_rgb=False)\nmodel = dict({BACKBONE})\n"
    ),
    "mmcv 1, a variable that no pipeline uses": (
        f"img_norm_cfg = dict({IMAGENET}, to_rgb=True)\nmodel = dict({BACKBONE})\n"
        f"test_pipeline = {step(HALF + ', to_rgb=False')}\n"
    ),
    "mmcv 1, a pipeline that no data uses": (
        f"img_norm_cfg = dict({IMAGENET}, to_rgb=True)\nmodel = dict({BACKBONE})\n"
        f"test_pipeline = {step(IMAGENET)}\n"
        f"data = dict(samples_per_gpu=2, test=dict(pipeline={step(HALF + ', to_rgb=False')}))\n"
    ),
    "mmengine, a loader": (
        f"test_pipeline = {step(IMAGENET)}\nmodel = dict({BACKBONE})\n"
        f"test_dataloader = dict(dataset=dict(pipeline={step(HALF + ', to_rgb=False')}))\n"
    ),
}
DISAGREEING = {
    "training and test": (
        f"model = dict({BACKBONE})\ndata = dict(train=dict(pipeline={step(IMAGENET)}), "
        f"test=dict(pipeline={step(HALF)}))\n"
    ),
    "colours alone": (
        f"model = dict({BACKBONE})\ndata = dict(train=dict(pipeline={step(HALF)}), "
        f"test=dict(pipeline={step(HALF + ', to_rgb=False')}))\n"
    ),
    "variables": f"model = dict({BACKBONE})\na_pipeline = {step(IMAGENET)}\nb_pipeline = {step(HALF)}\n",
    "branches": (f"model = dict({BACKBONE}, data_preprocessor=dict(a=dict({IMAGENET}), b=dict({HALF})))\n"),
    "twice": (
        f"model = dict({BACKBONE}, data_preprocessor=dict({HALF}))\n"
        f"test_dataloader = dict(dataset=dict(pipeline={step(HALF)}))\n"
    ),
}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_resnet()


def saved(text: str, model: nn.Module, folder: Path) -> Path:
    state = under("backbone.", backbone_of(model)) | {"neck.a.weight": torch.zeros(4, 4)}
    torch.save({"meta": {"cfg": text}, "state_dict": state}, folder / "a.pth")
    return folder / "a.pth"


@pytest.mark.parametrize("kind", STALE)
def test_what_the_library_runs_is_used(kind: str, model: nn.Module, tmp_path: Path) -> None:
    read = read_checkpoint(saved(STALE[kind], model, tmp_path))
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, std = torch.tensor([127.5, 127.0, 126.0]).view(3, 1, 1), 127.5
    with torch.inference_mode():
        prepared = Preprocess(read.backbone.card.preprocessing)(images)
        ours = read.backbone.build().eval()(prepared)
        model.eval()
        body = nn.Sequential(*list(model.children())[:-2])
        theirs = body((images.flip(1).float() - mean) / std).mean((2, 3))
    assert relative_error(ours, theirs) < 1e-4
    found = prove_source(read)
    assert found.library == "mmpretrain" and found.error is not None and found.error < 1e-4


@pytest.mark.parametrize("kind", DISAGREEING)
def test_places_that_disagree_are_not_decided(kind: str, model: nn.Module, tmp_path: Path) -> None:
    path = saved(DISAGREEING[kind], model, tmp_path)
    half = (0.5, 0.5, 0.5)
    for stated in (Stated(), Stated(channels="rgb"), Stated(mean=half, std=half)):
        with pytest.raises(UserError, match="by --mean, --std and --channels") as refused:
            read_checkpoint(path, stated=stated)
        assert "\n" not in str(refused.value) and "127.5" in str(refused.value)
    read = read_checkpoint(path, stated=Stated(mean=half, std=half, channels="bgr"))
    assert read.backbone.card.preprocessing.mean == half
    assert torch.equal(read.backbone.state_dict["conv1.weight"], backbone_of(model)["conv1.weight"].flip(1))
    found = prove_source(read)
    assert found.library == "mmpretrain" and found.error is not None and found.error < 1e-4


def test_equal_places_are_one_whatever_their_rounding() -> None:
    text = (
        "data = dict(train=dict(pipeline=[dict(type='Normalize', mean=[0.485 * 255, 116.28, 103.53], "
        f"std=[58.395, 57.12, 57.375])]), test=dict(pipeline={step(IMAGENET)}))\n"
    )
    facts = facts_in({"config": text})
    assert facts is not None and not facts.conflict and facts.to_rgb is True
    assert facts.mean == pytest.approx((123.675, 116.28, 103.53))


@pytest.mark.parametrize("more", ["rgb_to_bgr=True", "bgr_to_rgb=None"])
def test_an_order_that_is_not_clear_is_asked_for(more: str, model: nn.Module, tmp_path: Path) -> None:
    text = f"model = dict({BACKBONE}, data_preprocessor=dict({HALF}, {more}))\n"
    with pytest.raises(UserError, match="state it by --channels rgb or --channels bgr"):
        read_checkpoint(saved(text, model, tmp_path))


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("backbone = dict(style='a')\nmodel = dict(backbone=dict(style='b'))", "b"),
        ("backbone = dict(style='a')\nmodel = dict(detector=dict(backbone=dict(style='b')))", "b"),
        ("other = dict(backbone=dict(style='a'))", "a"),
        ("model = dict(one=dict(backbone=dict(style='a')), two=dict(backbone=dict(style='b')))", None),
    ],
)
def test_the_backbone_is_the_models(text: str, style: Any) -> None:
    facts = facts_in({"cfg": f"{text}\ndata_preprocessor = dict({HALF})"})
    assert facts is not None and (facts.backbone or {"style": None})["style"] == style
