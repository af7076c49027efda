"""Parts registered with Detectron2, each against its definition."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from torch.nn import functional as F

from mmbench.checkpoints.card import HighPass, ModelCard, Preprocessing
from mmbench.errors import UserError
from mmbench.transfer.dense.detection.config import RunFacts, build_config, choose_detector
from mmbench.transfer.dense.detection.detector_settings import C4OrPyramidSettings
from mmbench.transfer.dense.detection.models import (
    MMBenchBoxHead,
    MMBenchRCNN,
    MMBenchRes5ROIHeads,
    TimmBackbone,
)

SMALL = C4OrPyramidSettings(
    batch_size=2,
    iterations=1,
    learning_rate=0.01,
    train_sizes=(64,),
    test_size=64,
    train_proposals=(50, 20),
    test_proposals=(50, 20),
)


def detector_config(arch, tmp_path, settings=SMALL, options=None, **preprocessing):
    return build_config(
        ModelCard(
            arm="any", arch=arch, preprocessing=Preprocessing(**preprocessing), arch_options=options or {}
        ),
        settings,
        RunFacts(
            classes=3,
            datasets=("a", "b"),
            weights=tmp_path / "none.pth",
            output=tmp_path,
            device=torch.device("cpu"),
            seed=0,
        ),
    )


@pytest.mark.parametrize(
    ("arch", "strides", "channels"),
    [
        ("mixmask_resnet8", [4, 8], [64, 128]),
        ("mixmask_resnet18_cifar", [4, 8], [256, 512]),
        ("convnext_atto", [4, 8, 16, 32], [40, 80, 160, 320]),
        ("mambaout_femto", [4, 8, 16, 32], [48, 96, 192, 288]),
        ("dla34", [4, 8, 16, 32], [64, 128, 256, 512]),
    ],
)
def test_timm_backbone_says_the_strides_and_channels_that_its_maps_have(arch, strides, channels) -> None:
    backbone = TimmBackbone(arch).eval()
    shapes = backbone.output_shape()
    assert [shape.stride for shape in shapes.values()] == strides
    assert [shape.channels for shape in shapes.values()] == channels
    assert backbone.size_divisibility == strides[-1]
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 96))
    for stride, width, (name, features) in zip(strides, channels, maps.items(), strict=True):
        assert name == f"stride{stride}"
        assert features.shape == (1, width, 64 // stride, 96 // stride)


def test_timm_backbone_computes_what_timm_computes_and_bfloat16_is_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mmbench.device.has_bfloat16", lambda device: True)
    exact, fast = (
        TimmBackbone("mixmask_resnet8").eval(),
        TimmBackbone("mixmask_resnet8", bfloat16=True).eval(),
    )
    fast.load_state_dict(exact.state_dict())
    whole = timm.create_model("mixmask_resnet8").eval()
    whole.load_state_dict(exact.timm_model.state_dict())
    images = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        expected, found, near = whole.forward_features(images), exact(images), fast(images)
    torch.testing.assert_close(found["stride8"], expected)
    assert near["stride8"].dtype == torch.float32
    assert not torch.equal(near["stride8"], expected)
    assert (near["stride8"] - expected).norm() < 0.02 * expected.norm()


def test_network_without_the_strides_of_a_pyramid_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"'csatv2' has strides \[8, 16, 32, 64\]$") as caught:
        TimmBackbone("csatv2")
    assert "\n" not in str(caught.value)


def test_plain_resnets_are_c4_and_others_a_pyramid() -> None:
    assert [choose_detector(arch, SMALL) for arch in ("mixmask_resnet18", "resnet50")] == ["c4", "c4"]
    assert [choose_detector(arch, SMALL) for arch in ("mixmask_resnet8", "resnet18d")] == ["pyramid"] * 2
    forced = SMALL.model_copy(update={"detector": "pyramid"})
    assert choose_detector("mixmask_resnet18", forced) == "pyramid"


def test_c4_of_another_network_is_refused() -> None:
    forced = SMALL.model_copy(update={"detector": "c4"})
    with pytest.raises(UserError, match="detector c4 takes a plain ResNet"):
        choose_detector("convnext_atto", forced)
    with pytest.raises(UserError, match="not 'mixmask_resnet50' with early_stride=true"):
        choose_detector("mixmask_resnet50", forced, {"early_stride": True})
    assert choose_detector("mixmask_resnet50", forced, {"early_stride": False}) == "c4"


def test_options_of_the_architecture_reach_the_detector(tmp_path) -> None:
    cfg = detector_config("mixmask_resnet18_cifar", tmp_path, options={"stem_padding": 2, "stem_pool": True})
    bottom_up = build_model(cfg).backbone.bottom_up
    assert bottom_up.timm_model.conv1.padding == (2, 2)
    assert bottom_up.timm_model.maxpool.kernel_size == 3
    assert list(bottom_up.output_shape()) == ["stride4", "stride8", "stride16"]
    dilated = detector_config("mixmask_resnet18", tmp_path, options={"stem_pool": False})
    assert dilated.MODEL.BACKBONE.NAME == "build_mmbench_timm"


@pytest.mark.parametrize(
    ("arch", "blocks", "width"), [("resnet18", 2, 512), ("resnet34", 3, 512), ("resnet50", 3, 2048)]
)
def test_res5_is_the_last_stage_of_that_resnet_and_a_norm(arch, blocks, width, tmp_path) -> None:
    cfg = detector_config(arch, tmp_path)
    res5, channels = MMBenchRes5ROIHeads._build_res5_block(cfg)
    assert channels == width
    assert [name for name, _ in res5.named_children()] == [*map(str, range(blocks)), "norm"]
    assert isinstance(res5.norm, torch.nn.BatchNorm2d)
    own = timm.create_model(arch).layer4
    mine = [parameter.shape for name, parameter in res5.named_parameters() if not name.startswith("norm.")]
    assert sorted(mine) == sorted(parameter.shape for parameter in own.parameters())
    strides = {module.stride for module in res5.modules() if isinstance(module, torch.nn.Conv2d)}
    assert strides == {(1, 1), (2, 2)}
    with torch.no_grad():
        assert res5.eval()(torch.randn(2, width // 2, 14, 14)).shape == (2, width, 7, 7)
    if arch == "resnet50":  # torchvision's ResNet, not Caffe's: the 3 x 3 convolution carries the stride
        assert res5[0].conv1.stride == (1, 1)
        assert res5[0].conv2.stride == (2, 2)


def test_preprocessing_of_the_card_arrives_in_detectron2s_0_to_255(tmp_path) -> None:
    cfg = detector_config("mixmask_resnet8", tmp_path, mean=(0.1, 0.2, 0.4), std=(0.5, 0.25, 0.2))
    assert cfg.INPUT.FORMAT == "RGB"
    assert pytest.approx([25.5, 51.0, 102.0]) == cfg.MODEL.PIXEL_MEAN
    assert pytest.approx([127.5, 63.75, 51.0]) == cfg.MODEL.PIXEL_STD


def test_high_pass_of_the_card_is_applied_before_padding(tmp_path) -> None:
    high_pass = HighPass(kernel_size=5, sigma=1.3)
    torch.manual_seed(0)
    model = build_model(detector_config("mixmask_resnet8", tmp_path, high_pass=high_pass))
    assert isinstance(model, MMBenchRCNN)
    image = torch.randint(0, 256, (3, 40, 44), dtype=torch.uint8)
    padded = model.preprocess_image([{"image": image}]).tensor
    assert padded.shape == (1, 3, 40, 48)
    assert (padded[..., 44:] == 0).all()

    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    normalised = (image / 255 - mean[:, None, None]) / std[:, None, None]
    line = torch.tensor([math.exp(-0.5 * (offset / 1.3) ** 2) for offset in range(-2, 3)])
    kernel = torch.outer(line, line) / line.sum() ** 2
    framed = F.pad(normalised[None], (2, 2, 2, 2), mode="reflect")
    blurred = F.conv2d(framed, kernel.expand(3, 1, 5, 5), groups=3)
    torch.testing.assert_close(padded[..., :44], normalised[None] - blurred, atol=1e-5, rtol=1e-5)


def test_without_high_pass_images_are_normalised_only(tmp_path) -> None:
    model = build_model(detector_config("mixmask_resnet8", tmp_path, mean=(0.5,) * 3, std=(0.25,) * 3))
    image = torch.full((3, 40, 40), 255, dtype=torch.uint8)
    assert torch.equal(model.preprocess_image([{"image": image}]).tensor, torch.full((1, 3, 40, 40), 2.0))


def test_configuration_leaves_detectron2s_defaults_alone(tmp_path) -> None:
    before = get_cfg().dump()
    detector_config("mixmask_resnet8", tmp_path)
    assert get_cfg().dump() == before


def test_one_level_needs_no_fpn_and_several_get_one(tmp_path) -> None:
    one = build_model(
        detector_config("mixmask_resnet8", tmp_path, SMALL.model_copy(update={"pyramid_finest_stride": 8}))
    )
    several = build_model(detector_config("mixmask_resnet8", tmp_path))
    assert list(one.backbone.output_shape()) == ["stride8"]
    assert {name: shape.stride for name, shape in several.backbone.output_shape().items()} == {
        "p2": 4,
        "p3": 8,
    }
    image = {"image": torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8), "height": 64, "width": 64}
    for model in (one, several):
        assert model.roi_heads.box_head.norm.num_features in (64, 128)
        with torch.no_grad():
            assert "instances" in model.eval()([image])[0]


def test_box_head_reads_the_mean_of_normed_features_beside_a_hidden_layer(tmp_path) -> None:
    cfg = detector_config("mixmask_resnet8", tmp_path)
    head = MMBenchBoxHead(cfg, ShapeSpec(channels=6, height=3, width=3)).eval()
    with torch.no_grad():
        head.norm.running_mean.uniform_(-1, 1)
        head.norm.running_var.uniform_(0.5, 2)
        pooled = torch.randn(4, 6, 3, 3)
        found = head(pooled)
    normed = (pooled - head.norm.running_mean.view(6, 1, 1)) / (
        head.norm.running_var.view(6, 1, 1) + 1e-5
    ).sqrt()
    assert found.shape == (4, head.output_shape.channels) == (4, 6 + cfg.MODEL.ROI_BOX_HEAD.FC_DIM)
    torch.testing.assert_close(found[:, :6], normed.flatten(2).mean(2))
    assert (found[:, 6:] >= 0).all()
