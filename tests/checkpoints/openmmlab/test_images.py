"""Of the places in an OpenMMLab configuration that speak of images, those that the library runs count."""

from pathlib import Path
from typing import Any

import pytest
import torch
from layouts import backbone_of, trained_resnet, under
from torch import nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.openmmlab.config import facts_in
from mmbench.checkpoints.proof.parity import relative_error
from mmbench.checkpoints.proof.source_proof import prove_source
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess

IMAGENET = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]"
HALF = "mean=[127.5, 127.0, 126.0], std=[127.5, 127.5, 127.5]"
BACKBONE = "backbone=dict(type='ResNet', depth=18, style='pytorch')"


def step(values: str) -> str:
    return (
        f"[dict(type='LoadImageFromFile'), dict(type='Flip', transforms=[dict(type='Normalize', {values})])]"
    )


FILES = "train_dataloader = dict(dataset=dict(pipeline=[dict(type='mmcv.LoadImageFromFile')]))\n"
# Whatever stands first is left over; HALF in BGR is what the library runs.
STALE = {
    "mmengine, the model's own": (
        f"data_preprocessor = dict({IMAGENET}, bgr_to_rgb=True)\n"
        f"model = dict({BACKBONE}, data_preprocessor=dict({HALF}, bgr_to_rgb=False))\n{FILES}"
    ),
    "mmengine, branches": (
        f"data_preprocessor = dict({IMAGENET}, bgr_to_rgb=True)\n"
        f"model = dict({BACKBONE}, data_preprocessor=dict(type='Multi', data_preprocessor=dict({HALF})))\n"
        f"{FILES}"
    ),
    "mmengine, the variable where the model has none": (
        f"other = dict(data_preprocessor=dict({IMAGENET}, bgr_to_rgb=True))\n"
        f"data_preprocessor = dict({HALF}, to_rgb=False)\nmodel = dict({BACKBONE})\n{FILES}"
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


CIFAR = "mean=[125.307, 122.961, 113.8575], std=[51.5865, 50.847, 51.255]"


def loader(data: str, pipeline: str = "[]") -> str:
    return (
        f"train_dataloader = dict(dataset=dict(type='Repeat', dataset=dict({data}, pipeline={pipeline})))\n"
    )


def preprocessor(more: str, mean: str = CIFAR) -> str:
    return f"model = dict({BACKBONE})\ndata_preprocessor = dict({mean}, {more})\n"


FROM_FILE = "[dict(type='LoadImageFromFile')]"
NORMALISED = f"[dict(type='RandomCrop', size=32), dict(type='Normalize', {CIFAR}, to_rgb=False)]"
SMALL = "mean=[0.4914, 0.4822, 0.4465], std=[0.2023, 0.1994, 0.2010]"
# What the network is fed; None where that is open. By mmpretrain's steps: arrays of CIFAR are RGB, files BGR.
FED = {
    "CIFAR as mmpretrain has it": (preprocessor("to_rgb=False") + loader("type='CIFAR10'"), "rgb"),
    "CIFAR of another registry": (preprocessor("to_rgb=False") + loader("type='mmcls.CIFAR100'"), "rgb"),
    "CIFAR, turned": (preprocessor("to_rgb=True") + loader("type='CIFAR10'"), "bgr"),
    "CIFAR, mmengine's word": (preprocessor("bgr_to_rgb=False") + loader("type='CIFAR10'"), "rgb"),
    "CIFAR, a variable": (preprocessor("to_rgb=False") + "dataset_type = 'CIFAR10'\n", "rgb"),
    "mmcls 0.x": (f"data = dict(train=dict(type='CIFAR10', pipeline={NORMALISED}))\n", "rgb"),
    "mmcls 0.x, turned by default": (
        f"data = dict(train=dict(type='CIFAR10', pipeline=[dict(type='Normalize', {CIFAR})]))\n",
        "bgr",
    ),
    "mmselfsup 0.x, torchvision's step": (
        "data = dict(train=dict(data_source=dict(type='CIFAR10'), "
        f"pipeline=[dict(type='Normalize', {SMALL})]))\n",
        "rgb",
    ),
    "files": (preprocessor("to_rgb=False") + loader("type='ImageNet'", FROM_FILE), "bgr"),
    "files, a variable left over from CIFAR": (
        preprocessor("to_rgb=False") + "dataset_type = 'CIFAR10'\n" + loader("type='ImageNet'", FROM_FILE),
        "bgr",
    ),
    "files, turned": (preprocessor("to_rgb=True") + loader("type='ImageNet'", FROM_FILE), "rgb"),
    "files loaded as RGB": (
        preprocessor("to_rgb=False")
        + loader("type='A'", "[dict(type='LoadImageFromFile', channel_order='rgb')]"),
        "rgb",
    ),
    "files of a decoder that turns nothing": (
        preprocessor("to_rgb=False")
        + loader("type='A'", "[dict(type='LoadImageFromFile', imdecode_backend='tifffile')]"),
        None,
    ),
    "an unknown data set": (preprocessor("to_rgb=False") + loader("type='OwnArrays'"), None),
    "an unknown data set, turned": (preprocessor("to_rgb=True") + loader("type='OwnArrays'"), "rgb"),
    "an unknown data set, a mean in BGR": (
        preprocessor("to_rgb=False", "mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0]")
        + loader("type='OwnArrays'"),
        "bgr",
    ),
    "both": (
        preprocessor("to_rgb=False")
        + loader("type='CIFAR10'")
        + loader("type='ImageNet'", FROM_FILE).replace("train", "val"),
        None,
    ),
}


@pytest.mark.parametrize("kind", FED)
def test_the_data_set_decides_on_the_colours_that_are_not_turned(
    kind: str, model: nn.Module, tmp_path: Path
) -> None:
    text, order = FED[kind]
    path = saved(text, model, tmp_path)
    if order is None:
        with pytest.raises(UserError, match="state it by --channels rgb or --channels bgr") as refused:
            read_checkpoint(path)
        assert "data set" in str(refused.value) and "\n" not in str(refused.value)
        order = "rgb"
        read = read_checkpoint(path, stated=Stated(channels="rgb"))
    else:
        read = read_checkpoint(path)
    first, mean = backbone_of(model)["conv1.weight"], facts_in({"cfg": text})
    assert torch.equal(read.backbone.state_dict["conv1.weight"], first if order == "rgb" else first.flip(1))
    assert mean is not None and mean.mean is not None
    written = [value / (255 if max(mean.mean) > 1 else 1) for value in mean.mean]
    assert read.backbone.card.preprocessing.mean == pytest.approx(
        written if order == "rgb" else written[::-1]
    )


def test_the_card_says_that_cifar_is_why(model: nn.Module, tmp_path: Path) -> None:
    card = read_checkpoint(saved(FED["CIFAR as mmpretrain has it"][0], model, tmp_path)).backbone.card
    assert "CIFAR10 holds RGB arrays" in card.origins["preprocessing"]
    assert "channels" not in card.origins
