"""The lists of tensors are those of the libraries' own models."""

import pytest
import torch
import torchvision
from torch import nn

from mmbench.checkpoints.networks.plain import (
    BLOCKS,
    Plain,
    Shapes,
    detectron2_tensors,
    plain,
    torchvision_tensors,
)

NETWORKS = [*(Plain(depth) for depth in BLOCKS), Plain(50, wide=True), Plain(101, wide=True)]


def shapes(model: nn.Module) -> Shapes:
    return {n: tuple(t.shape) for n, t in model.state_dict().items() if not n.startswith("fc.")}


@pytest.mark.parametrize("network", NETWORKS)
def test_torchvision(network: Plain) -> None:
    name = f"wide_resnet{network.depth}_2" if network.wide else f"resnet{network.depth}"
    with torch.device("meta"):
        model = getattr(torchvision.models, name)()
    assert torchvision_tensors(network) == shapes(model)


@pytest.mark.parametrize("network", NETWORKS)
def test_detectron2(network: Plain) -> None:
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone.resnet import build_resnet_backbone

    cfg = get_cfg()
    settings = cfg.MODEL.RESNETS
    settings.DEPTH, settings.OUT_FEATURES, settings.NORM = network.depth, ["res5"], "FrozenBN"
    settings.WIDTH_PER_GROUP = 128 if network.wide else 64
    settings.RES2_OUT_CHANNELS = 64 if network.depth < 50 else 256
    model = build_resnet_backbone(cfg, ShapeSpec(channels=3))
    assert detectron2_tensors(network) == {n: s for n, s in shapes(model).items() if "num_batches" not in n}


@pytest.mark.parametrize("library", ["mmseg", "mmpretrain"])
@pytest.mark.parametrize("depth", BLOCKS)
def test_openmmlab(library: str, depth: int) -> None:
    import importlib

    importlib.import_module(f"{library}.models")
    registry = importlib.import_module(f"{library}.registry").MODELS
    config = {"type": f"{library}.ResNet", "depth": depth, "norm_cfg": {"type": "BN"}}
    assert torchvision_tensors(Plain(depth)) == shapes(registry.build(config))


def test_names_of_networks() -> None:
    assert plain("mixmask_resnet50.in1k") == plain("resnet50.a1_in1k") == Plain(50)
    assert plain("wide_resnet50_2") == plain("mixmask_wide_resnet50_2") == Plain(50, wide=True)
    assert plain("msra_resnet101") == Plain(101, early_stride=True)
    for other in ("resnet50d", "mixmask_resnet8", "mixmask_resnet18_cifar", "wide_resnet50", "resnet26", "x"):
        assert plain(other) is None
