"""Every tensor of a checkpoint must be in the network, bit for bit."""

from __future__ import annotations

import pytest
import timm
import torch

from mmbench.checkpoints.backbone import random_backbone
from mmbench.errors import UserError
from mmbench.transfer.dense.common.weights import feature_tensors, require_arrival

HELD = {"net.a": torch.arange(3.0), "net.b": torch.ones(2), "head.c": torch.zeros(1)}
PLACES = ["net.a", "net.b"]


def test_all_tensors_in_place_are_counted() -> None:
    expected = {name: HELD[name].clone() for name in PLACES}
    assert require_arrival(expected, HELD, PLACES, "this library") == 2


@pytest.mark.parametrize(
    ("change", "lost", "unfed"),
    [
        ({"net.a": torch.tensor([0.0, 1.0, 2.0000002])}, r"1 tensors .* \(net\.a\)", "0 were left"),
        ({"net.a": torch.arange(3.0, dtype=torch.float64)[:2]}, r"1 tensors .* \(net\.a\)", "0 were left"),
        ({"net.d": torch.ones(1)}, r"1 tensors .* \(net\.d\)", "0 were left"),
        ({"net.b": None}, "0 tensors .*", r"1 were left at random \(net\.b\)"),
    ],
)
def test_what_did_not_arrive_is_named(change: dict[str, torch.Tensor | None], lost: str, unfed: str) -> None:
    changed = {**{name: HELD[name] for name in PLACES}, **change}
    expected = {name: tensor for name, tensor in changed.items() if tensor is not None}
    with pytest.raises(UserError, match=f"did not arrive whole in this library: {lost}, {unfed}"):
        require_arrival(expected, HELD, PLACES, "this library")


def test_names_that_timm_flattens_are_found_and_unused_tensors_named() -> None:
    backbone = random_backbone("convnext_atto", 0)
    network = timm.create_model("convnext_atto", features_only=True)
    tensors, unused = feature_tensors(backbone, network, "detection")
    assert unused == ("head.norm.bias", "head.norm.weight")
    assert {name.removeprefix("timm_model.") for name in tensors} == network.state_dict().keys()
    flat, dotted = "timm_model.stages_1.blocks.0.conv_dw.weight", "stages.1.blocks.0.conv_dw.weight"
    assert torch.equal(tensors[flat], backbone.state_dict[dotted])


def test_a_network_with_a_tensor_that_the_checkpoint_lacks_is_refused() -> None:
    backbone = random_backbone("mixmask_resnet8", 0)
    network = timm.create_model("mixmask_resnet18", features_only=True)
    with pytest.raises(UserError, match=r"layer1\.1.* this architecture cannot be used for segmentation"):
        feature_tensors(backbone, network, "segmentation")
