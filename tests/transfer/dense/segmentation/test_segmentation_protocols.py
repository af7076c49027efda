"""Every published value on the built configuration, against mmsegmentation's own files and a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmbench.checkpoints.card import ModelCard
from mmbench.errors import UserError
from mmbench.transfer.resolution import resolve_task

# Protocol -> (mmsegmentation's file, images per step over its GPUs).
FILES = {
    "voc-fcn-20k@1": ("fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py", 16),
    "voc-deeplabv3plus-20k@1": ("deeplabv3plus/deeplabv3plus_r50-d8_4xb4-20k_voc12aug-512x512.py", 16),
    "cityscapes-fcn-40k@1": ("fcn/fcn_r50-d8_4xb2-40k_cityscapes-769x769.py", 8),
    "cityscapes-fcn-80k@1": ("fcn/fcn_r50-d8_4xb2-80k_cityscapes-769x769.py", 8),
    "cityscapes-deeplabv3plus-40k@1": (
        "deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py",
        8,
    ),
    "ade20k-fcn-80k@1": ("fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py", 16),
    "ade20k-upernet-80k@1": ("upernet/upernet_r50_4xb4-80k_ade20k-512x512.py", 16),
    "ade20k-upernet-160k@1": ("upernet/upernet_r50_4xb4-160k_ade20k-512x512.py", 16),
}


def settings_of(protocol: str, **overrides: Any) -> Any:
    return resolve_task("segmentation", f"segmentation/{protocol}", overrides).settings


def built(protocol: str, classes: int = 21, arch: str = "resnet50", **overrides: Any) -> dict[str, Any]:
    from mmbench.transfer.dense.segmentation import models, preprocessor  # noqa: F401
    from mmbench.transfer.dense.segmentation.config import RunFacts, build_config

    names = tuple(str(number) for number in range(classes))
    facts = RunFacts(
        ModelCard(arm="any", arch=arch), names, Path("weights"), Path("work"), 0, torch.device("cpu")
    )
    return build_config(settings_of(protocol, **overrides), facts)


@pytest.mark.parametrize("name", FILES)
def test_a_protocol_is_mmsegmentations_own_file_with_the_plain_stem(name: str) -> None:
    import mmseg
    from mmengine.config import Config

    file, batch = FILES[name]
    published = Config.fromfile(Path(mmseg.__file__).parent / ".mim/configs" / file).to_dict()
    theirs = published["model"]
    ours = built(name, theirs["decode_head"]["num_classes"])
    model = ours["model"]
    assert model["decode_head"] == theirs["decode_head"]
    assert model["auxiliary_head"] == theirs["auxiliary_head"]
    backbone = {key: value for key, value in model["backbone"].items() if key != "init_cfg"}
    assert backbone == {**theirs["backbone"], "type": "ResNet"}
    assert model["test_cfg"] == theirs["test_cfg"]
    for key in ("bgr_to_rgb", "seg_pad_val", "size"):
        assert model["data_preprocessor"][key] == theirs["data_preprocessor"][key]
    assert model["data_preprocessor"]["mean"] == pytest.approx(theirs["data_preprocessor"]["mean"])
    assert model["data_preprocessor"]["std"] == pytest.approx(theirs["data_preprocessor"]["std"])
    steps = [step for step in published["train_pipeline"] if not step["type"].startswith("Load")]
    pads = [step for step in steps if step["type"] == "Pad"]
    assert ours["train_pipeline"][1:] == [step for step in steps if step["type"] != "Pad"]
    expected = [step for step in published["test_pipeline"] if not step["type"].startswith("Load")]
    assert ours["test_pipeline"][1:] == expected
    if name != "voc-fcn-20k@1":  # which follows mmselfsup 0.x
        assert model["data_preprocessor"]["padding"] == ("black" if pads else "zero")
    assert ours["param_scheduler"] == published["param_scheduler"]
    assert ours["optim_wrapper"]["optimizer"] == published["optim_wrapper"]["optimizer"]
    assert ours["train_cfg"]["max_iters"] == published["train_cfg"]["max_iters"]
    assert settings_of(name).batch_size == batch


@pytest.mark.parametrize(
    ("name", "rate", "end", "falls", "crop", "test"),
    [
        ("voc-fcn-moco-30k@1", 0.003, 30000, [21000, 27000], 513, {"mode": "whole"}),
        (
            "cityscapes-fcn-moco-90k@1",
            0.01,
            90000,
            [63000, 81000],
            769,
            {"mode": "slide", "crop_size": (769, 769), "stride": (513, 513)},
        ),
    ],
)
def test_mocos_fcn(name: str, rate: float, end: int, falls: list[int], crop: int, test: Any) -> None:
    config = built(name)
    model, head = config["model"], config["model"]["decode_head"]
    assert "auxiliary_head" not in model and model["test_cfg"] == test
    assert (head["channels"], head["num_convs"], head["dilation"]) == (256, 2, 6)
    assert (head["concat_input"], head["dropout_ratio"], head["align_corners"]) == (False, 0, True)
    assert (model["backbone"]["strides"], model["backbone"]["dilations"]) == ((1, 2, 2, 1), (1, 1, 1, 2))
    (schedule,) = config["param_scheduler"]
    assert (schedule["type"], schedule["milestones"], schedule["gamma"]) == ("MultiStepLR", falls, 0.1)
    optimizer = config["optim_wrapper"]["optimizer"]
    assert optimizer == {"type": "SGD", "lr": rate, "momentum": 0.9, "weight_decay": 1e-4}
    assert config["train_cfg"]["max_iters"] == end
    crops = next(step for step in config["train_pipeline"] if step["type"] == "RandomCrop")
    assert (crops["crop_size"], crops["cat_max_ratio"]) == ((crop, crop), 1.0)
    assert all(step["type"] != "PhotoMetricDistortion" for step in config["train_pipeline"])


@pytest.mark.parametrize("padding", ["zero", "black"])
def test_padding_is_zero_or_what_black_becomes(padding: str) -> None:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    from mmbench.transfer.dense.segmentation.preprocessor import MMBenchPreprocessor

    preprocessor = MMBenchPreprocessor(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(24, 20),
        padding=padding,
    )
    blue = torch.tensor([200, 30, 10], dtype=torch.uint8).view(3, 1, 1).expand(3, 16, 12)  # BGR
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 16, 12, dtype=torch.int64)))
    image = preprocessor({"inputs": [blue], "data_samples": [sample]}, training=True)["inputs"][0]
    inside = [(10 - 123.675) / 58.395, (30 - 116.28) / 57.12, (200 - 103.53) / 57.375]
    border = [-2.1179, -2.0357, -1.8044] if padding == "black" else [0.0, 0.0, 0.0]
    assert image[:, 15, 11].tolist() == pytest.approx(inside, abs=1e-4)
    for place in (image[:, 16, 0], image[:, 0, 12], image[:, 23, 19]):
        assert place.tolist() == pytest.approx(border, abs=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optim_wrapper.optimizer.momentun": 0.8}, "did you mean optim_wrapper.optimizer.momentum"),
        ({"model.backbone": 1}, "is a section"),
        ({"model.backbone.contract_dilation": 1}, "must be true or false"),
        ({"model.backbone.depth": 101}, "belongs to the run"),
        ({"optim_wrapper.optimizer.lr": 0.1}, "use --set learning_rate=..."),
        ({"head": "pspnet"}, "head"),
        ({"test_mode": "slide"}, "needs both test_crop and test_stride"),
        ({"test_mode": "slide", "test_crop": 64, "test_stride": 65}, "gaps"),
        ({"test_crop": 64}, "test_mode=slide"),
        ({"decay_at": [5]}, "schedule=step"),
        ({"learning_rate": 1e-5}, "must not be above learning_rate"),
    ],
)
def test_what_cannot_be_meant_is_one_line(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        built("voc-fcn-20k@1", **overrides)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "use"),
    [
        ("model.backbone.frozen_stages", "omit it"),
        ("model.backbone.norm_eval", "omit it"),
        ("model.backbone.norm_cfg.type", "omit it"),
        ("model.backbone.out_indices", "use --set finest_stride="),
        ("model.decode_head.num_convs", "use --set head_convs="),
        ("model.decode_head.dropout_ratio", "use --set dropout="),
        ("param_scheduler.0.eta_min", "use --set final_learning_rate="),
        *((f"model.decode_head.{key}", "omit it") for key in ("ignore_index", "in_index", "in_channels")),
        *((f"model.auxiliary_head.{key}", "omit it") for key in ("ignore_index", "in_index", "num_classes")),
    ],
)
def test_keys_that_decide_what_is_fed_or_trained_are_refused(key: str, use: str) -> None:
    with pytest.raises(UserError, match=rf"{key} belongs to the run.*; {use}") as caught:
        settings_of("voc-fcn-20k@1", **{key: 1})
    assert "\n" not in str(caught.value)


def test_mmengines_own_keys_are_applied_and_recorded() -> None:
    keys = {"optim_wrapper.optimizer.momentum": 0.8, "model.backbone.contract_dilation": False}
    config = built("voc-fcn-20k@1", **keys)
    assert config["optim_wrapper"]["optimizer"]["momentum"] == 0.8
    assert config["model"]["backbone"]["contract_dilation"] is False
    settings = settings_of("voc-fcn-20k@1", **keys)
    assert settings.customised and settings.recorded()["library"] == keys


def test_half_the_batch_takes_twice_as_long_at_half_the_rates() -> None:
    settings = settings_of("voc-fcn-20k@1", batch_size=8)
    assert (settings.learning_rate, settings.final_learning_rate) == (0.005, 0.00005)
    assert settings.iterations == 40000 and "linear rule" in settings.remarks()[0]


def test_own_fits_its_length_and_sizes_to_the_images() -> None:
    from mmbench.transfer.dense.segmentation.fitting import fitted

    small, notes = fitted(settings_of("own@1"), [(96, 64)] * 1000)
    assert (small.iterations, small.resize, small.crop) == (3750, (256, 64), 64) and len(notes) == 2
    usual, _ = fitted(settings_of("own@1"), [(640, 512)] * 10)
    assert (usual.iterations, usual.resize, usual.crop) == (2000, (2048, 512), 512)


def test_upernet_reads_timms_pyramid_and_deeplab_refuses_it() -> None:
    model = built("ade20k-upernet-80k@1", arch="resnet26d")["model"]
    assert model["decode_head"]["in_channels"] == [256, 512, 1024, 2048]
    assert model["auxiliary_head"]["in_channels"] == 1024
    with pytest.raises(UserError, match="head=upernet"):
        built("voc-deeplabv3plus-20k@1", arch="resnet26d")


def test_a_network_for_one_size_is_fed_that_size() -> None:
    arch = "swin_tiny_patch4_window7_224"
    with pytest.raises(UserError, match="takes images of 224 x 224 px alone; use --set crop=224") as caught:
        built("voc-fcn-20k@1", arch=arch)
    assert "\n" not in str(caught.value)
    sizes = {"crop": 224, "test_mode": "slide", "test_crop": 224, "test_stride": 112}
    assert built("voc-fcn-20k@1", arch=arch, **sizes)["model"]["backbone"]["model_name"] == arch


def test_the_heads_read_channels_of_networks_whose_channels_are_last() -> None:
    from mmseg.registry import MODELS

    config = built("voc-fcn-20k@1", arch="mambaout_femto")["model"]
    del config["data_preprocessor"]
    model = MODELS.build(config).eval()
    with torch.no_grad():
        maps = model.extract_feat(torch.rand(1, 3, 64, 96))
        given = model.backbone.timm_model(torch.rand(1, 3, 64, 96))
    assert [tuple(features.shape) for features in maps] == [(1, 96, 8, 12), (1, 192, 4, 6), (1, 288, 2, 3)]
    assert given[0].shape == (1, 8, 12, 96)
