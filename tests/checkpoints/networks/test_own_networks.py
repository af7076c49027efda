"""What is stated of mmbench's own architectures, compared with the networks that timm builds."""

import pytest
import timm
import torch

from mmbench.backbone_names import OUR_BACKBONES
from mmbench.checkpoints.networks.own_networks import own_image_size, own_tensors


@pytest.mark.parametrize("arch", OUR_BACKBONES)
def test_tensors_and_size_are_those_of_the_network(arch: str) -> None:
    with torch.device("meta"):
        network = timm.create_model(arch, num_classes=0)
    built = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    found = own_tensors(arch)
    assert found is not None
    assert list(found.items()) == built
    cfg = timm.get_pretrained_cfg(arch)
    assert cfg is not None
    assert not cfg.fixed_input_size
    assert own_image_size(arch) == cfg.input_size[-1]


def test_every_architecture_of_mmbench_is_named() -> None:
    registered = {name for prefix in ("mixmask_*", "msra_*") for name in timm.list_models(prefix)}
    assert registered == set(OUR_BACKBONES)


@pytest.mark.parametrize("arch", ["resnet50", "mixmask_resnet50.in1k", "mixmask_resnet51", ""])
def test_other_names_are_left_to_timm(arch: str) -> None:
    assert own_tensors(arch) is None
    assert own_image_size(arch) is None
