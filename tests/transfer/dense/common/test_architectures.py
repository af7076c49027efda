"""Which networks are plain ResNets, and which maps timm offers of the others."""

from __future__ import annotations

import pytest
import timm
import torch

from mmbench.errors import UserError
from mmbench.transfer.dense.common.architectures import (
    FeatureMap,
    channels_first,
    feature_maps,
    plain_resnet_depth,
)

PLAIN = {"mixmask_resnet18": 18, "mixmask_resnet50.in1k": 50, "resnet34.a1_in1k": 34, "resnet101": 101}
OTHERS = (
    *("mixmask_resnet8", "mixmask_resnet18_cifar", "resnet18d", "wide_resnet50_2", "mixmask_wide_resnet50_2"),
    *("msra_resnet50", "resnet152", "resnet26", "resnetv2_50", "seresnet50", "convnext_atto"),
)


def test_only_plain_resnets_are_built_by_the_libraries() -> None:
    assert {arch: plain_resnet_depth(arch) for arch in PLAIN} == PLAIN
    assert {arch: plain_resnet_depth(arch) for arch in OTHERS} == dict.fromkeys(OTHERS)
    assert plain_resnet_depth("resnet50", {"output_stride": 32}) == 50
    assert plain_resnet_depth("resnet50", {"output_stride": 16}) is None
    assert plain_resnet_depth("mixmask_resnet50", {"early_stride": False}) == 50
    assert plain_resnet_depth("mixmask_resnet50", {"early_stride": True}) is None
    assert plain_resnet_depth("msra_resnet50", {"early_stride": False}) is None


@pytest.mark.parametrize("arch", ["mixmask_resnet8", "convnext_atto", "mobilenetv3_small_050"])
def test_the_deepest_map_of_each_stride_is_taken(arch: str) -> None:
    maps = feature_maps(arch, "detection")
    network = timm.create_model(arch, features_only=True, out_indices=[level.index for level in maps])
    with torch.no_grad():
        found = network.eval()(torch.zeros(1, 3, 64, 64))
    for level, features in zip(maps, found, strict=True):
        assert features.shape == (1, level.channels, 64 // level.stride, 64 // level.stride)
    info = timm.create_model(arch, features_only=True).feature_info.get_dicts()
    strides = [level["reduction"] for level in info]
    assert [level.stride for level in maps] == sorted(set(strides))
    assert all(level.stride not in strides[level.index + 1 :] for level in maps)


def test_stem_and_first_stage_of_one_stride_are_one_map() -> None:
    assert feature_maps("mixmask_resnet8", "segmentation") == [
        *(FeatureMap(1, 2, 32), FeatureMap(2, 4, 64), FeatureMap(3, 8, 128))
    ]


def test_options_of_the_architecture_change_the_strides() -> None:
    strides = [level.stride for level in feature_maps("mixmask_resnet18_cifar", "any", {"stem_pool": True})]
    assert strides == [1, 2, 4, 8, 16]


def test_a_network_without_feature_maps_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(arch: str, **settings: object) -> None:
        raise RuntimeError("features_only not implemented")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(UserError, match=r"no feature maps of 'any' for detection: features_only") as caught:
        feature_maps("any", "detection")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arch", "expected"),
    [
        ("dla34", [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32)]),  # timm's levels begin at 1
        ("csatv2", [(1, 8), (2, 16), (3, 32), (4, 64)]),
    ],
)
def test_indices_are_those_that_timm_takes(arch: str, expected: list[tuple[int, int]]) -> None:
    maps = feature_maps(arch, "detection")
    assert [(level.index, level.stride) for level in maps] == expected
    network = timm.create_model(arch, features_only=True, out_indices=[index for index, _ in expected])
    with torch.no_grad():
        found = network.eval()(torch.zeros(1, 3, 64, 128))
    for level, features in zip(maps, found, strict=True):
        assert features.shape == (1, level.channels, 64 // level.stride, 128 // level.stride)


def test_channels_are_brought_to_the_front() -> None:
    network = timm.create_model("mambaout_femto", features_only=True).eval()
    with torch.no_grad():
        given = network(torch.rand(1, 3, 64, 96))
    maps = channels_first(network, given)
    assert given[0].shape == (1, 16, 24, 48) and maps[0].shape == (1, 48, 16, 24)
    assert torch.equal(maps[0][0, 5], given[0][0, :, :, 5])
    plain = timm.create_model("mixmask_resnet8", features_only=True).eval()
    assert all(after is before for after, before in zip(channels_first(plain, given), given, strict=True))


def test_a_network_for_one_size_gives_detection_no_maps() -> None:
    with pytest.raises(UserError, match=r"takes images of 224 x 224 px alone, and detection feeds"):
        feature_maps("swin_tiny_patch4_window7_224", "detection")
    maps = feature_maps("swin_tiny_patch4_window7_224", "segmentation")
    assert [(level.stride, level.channels) for level in maps] == [(4, 96), (8, 192), (16, 384), (32, 768)]


def test_maps_that_are_not_what_timm_states_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def misstated(arch: str, **settings: object) -> object:
        network = create(arch, **settings)  # type: ignore[arg-type]
        network.feature_info.info[1]["num_chs"] = 31
        return network

    monkeypatch.setattr(timm, "create_model", misstated)
    with pytest.raises(
        UserError, match=r"shape \(1, 32, 64, 96\), where timm states stride 2 and 31"
    ) as caught:
        feature_maps("mixmask_resnet8", "detection")
    assert "\n" not in str(caught.value)
