"""Checkpoints as their writers lay them out: built by the library where it installs, else key for key.

Every writer takes a trained torchvision ResNet and a path, and leaves a file there.
"""

import argparse
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

State = dict[str, Tensor]


def trained_resnet(name: str = "resnet18") -> nn.Module:
    """A ResNet of torchvision whose batch norms have statistics and scales of their own."""
    torch.manual_seed(len(name))
    model: nn.Module = getattr(torchvision.models, name)()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.num_batches_tracked += 7
    return model


def backbone_of(model: nn.Module) -> State:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("fc.")}


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def other(state: State) -> State:
    """The moving average beside an encoder: the same names, other numbers."""
    return {name: tensor + 1 for name, tensor in state.items()}


def mlp(prefix: str) -> State:
    return {f"{prefix}{layer}.weight": torch.randn(4, 4) for layer in (0, 3)}


def three_layers(*, bias: bool) -> State:
    """The projector of Barlow Twins and VICReg; only VICReg's has biases, and none in its last layer."""
    wide = nn.Sequential(
        *(nn.Linear(4, 4, bias=bias), nn.BatchNorm1d(4), nn.ReLU()),
        *(nn.Linear(4, 4, bias=bias), nn.BatchNorm1d(4), nn.ReLU()),
        nn.Linear(4, 4, bias=False),
    )
    return under("projector.", wide.state_dict())


def linear_classifier(prefix: str) -> State:
    return under(prefix, nn.Linear(512, 10).state_dict())


def optimiser() -> dict[str, Any]:
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(3))], lr=0.03, momentum=0.9)
    sgd.param_groups[0]["params"][0].grad = torch.ones(3)
    sgd.step()
    return sgd.state_dict()


def moco(model: nn.Module, path: Path) -> None:
    """main_moco.py of facebookresearch/moco, which MixMask keeps; under torch.compile as well."""
    state = backbone_of(model)
    inside = under("encoder_q.", state) | under("encoder_k.", other(state))
    inside |= mlp("encoder_q.fc.") | mlp("encoder_k.fc.")
    inside |= {"queue": torch.randn(4, 8), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    torch.save(
        {"epoch": 200, "arch": "resnet50", "state_dict": under("module.", inside), "optimizer": optimiser()},
        path,
    )


def moco_compiled(model: nn.Module, path: Path) -> None:
    inside = under("module._orig_mod.encoder_q.", backbone_of(model)) | mlp("module._orig_mod.encoder_q.fc.")
    torch.save({"state_dict": inside, "best_acc1": np.float64(0.5)}, path)


def moco_v3(model: nn.Module, path: Path) -> None:
    state = backbone_of(model)
    inside = under("base_encoder.", state) | under("momentum_encoder.", other(state))
    inside |= mlp("base_encoder.fc.") | mlp("momentum_encoder.fc.") | mlp("predictor.")
    torch.save({"epoch": 300, "state_dict": under("module.", inside), "scaler": {"scale": 65536.0}}, path)


def simsiam(model: nn.Module, path: Path) -> None:
    inside = under("encoder.", backbone_of(model)) | mlp("encoder.fc.") | mlp("predictor.")
    torch.save({"epoch": 100, "state_dict": under("module.", inside), "optimizer": optimiser()}, path)


def barlow_twins(model: nn.Module, path: Path) -> None:
    inside = under("backbone.", backbone_of(model)) | three_layers(bias=False)
    inside |= under("bn.", nn.BatchNorm1d(4, affine=False).state_dict())
    torch.save({"epoch": 1000, "model": under("module.", inside), "optimizer": optimiser()}, path)


def vicreg(model: nn.Module, path: Path) -> None:
    inside = under("module.", under("backbone.", backbone_of(model)) | three_layers(bias=True))
    torch.save({"epoch": 1000, "model": inside, "optimizer": optimiser()}, path)


def swav(model: nn.Module, path: Path) -> None:
    inside = backbone_of(model) | mlp("projection_head.") | {"prototypes.weight": torch.randn(4, 4)}
    torch.save({"epoch": 400, "state_dict": under("module.", inside), "amp": optimiser()}, path)


def dino(model: nn.Module, path: Path) -> None:
    teacher = under("backbone.", backbone_of(model)) | mlp("head.mlp.")
    teacher |= {"head.last_layer.weight_v": torch.randn(4, 4)}
    student = under("module.", under("backbone.", other(backbone_of(model))))
    student |= {"module.head.last_layer.weight_v": torch.randn(4, 4)}
    settings = argparse.Namespace(arch="resnet18", lr=0.03, gpus=[0, 1])
    torch.save({"student": student, "teacher": teacher, "epoch": 800, "args": settings}, path)


def openselfsup(model: nn.Module, path: Path) -> None:
    """OpenSelfSup's MoCo and DenseCL, which store the query encoder under two names."""
    state = backbone_of(model)
    inside = under("backbone.", state) | under("encoder_q.0.", state) | under("encoder_k.0.", other(state))
    inside |= (
        mlp("neck.mlp.") | mlp("encoder_q.1.mlp.") | mlp("encoder_k.1.mlp.") | {"queue": torch.randn(4, 8)}
    )
    torch.save(
        {"meta": {"epoch": 200, "time": "today"}, "state_dict": inside, "optimizer": optimiser()}, path
    )


def mmpretrain(model: nn.Module, path: Path) -> None:
    """mmpretrain's own MoCo, saved by mmengine with the message hub of its runner."""
    from mmengine.logging import HistoryBuffer
    from mmengine.runner import save_checkpoint
    from mmpretrain.registry import MODELS

    depth = 50 if "layer1.0.conv3.weight" in model.state_dict() else 18
    width = 2048 if depth == 50 else 512
    config = {
        "type": "MoCo",
        "queue_len": 16,
        "feat_dim": 8,
        "backbone": {"type": "ResNet", "depth": depth, "norm_cfg": {"type": "BN"}},
        "neck": {"type": "MoCoV2Neck", "in_channels": width, "hid_channels": 8, "out_channels": 8},
        "head": {
            "type": "ContrastiveHead",
            "loss": {"type": "CrossEntropyLoss"},
            "temperature": 0.2,
        },
    }
    learner = MODELS.build(config)
    learner.backbone.load_state_dict(backbone_of(model), strict=True)
    average = learner.encoder_k.module[0]
    average.load_state_dict(other(backbone_of(model)), strict=True)
    hub = {"log_scalars": {"train/loss": HistoryBuffer([2.0, 1.0], [1, 1])}, "runtime_info": {"epoch": 200}}
    save_checkpoint(
        {"state_dict": learner.state_dict(), "meta": {"epoch": 200}, "message_hub": hub}, str(path)
    )


def vissl(model: nn.Module, path: Path) -> None:
    trunk = under("_feature_blocks.", backbone_of(model))
    inner = {"model": {"trunk": trunk, "heads": mlp("0.clf.")}, "meters": [{}], "optimizer": optimiser()}
    torch.save({"phase_idx": 200, "loss": 1.5, "classy_state_dict": {"base_model": inner}}, path)


def solo_learn(model: nn.Module, path: Path) -> None:
    """solo-learn, whose Lightning files keep OmegaConf's settings."""
    from omegaconf import OmegaConf

    state = backbone_of(model)
    inside = under("backbone.", state) | under("momentum_backbone.", other(state))
    inside |= mlp("projector.") | linear_classifier("classifier.") | mlp("momentum_projector.")
    settings = OmegaConf.create({"method": "mocov2plus", "optimizer": {"lr": 0.3, "layers": [1, None, True]}})
    torch.save(
        {
            "state_dict": inside,
            "epoch": 399,
            "pytorch-lightning_version": "1.6.4",
            "hyper_parameters": settings,
        },
        path,
    )


def solo_learn_old(model: nn.Module, path: Path) -> None:
    inside = under("encoder.", backbone_of(model)) | linear_classifier("classifier.") | mlp("projector.")
    torch.save({"state_dict": inside, "epoch": 99}, path)


def lightly(model: nn.Module, path: Path) -> None:
    """lightly's MoCo example as a Lightning module, saved by Lightning's trainer."""
    import pytorch_lightning
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from lightly.models.utils import deactivate_requires_grad

    class MoCo(pytorch_lightning.LightningModule):
        def __init__(self, lr: float = 0.06) -> None:
            super().__init__()
            self.save_hyperparameters()
            children = list(model.children())[:-1]
            self.backbone = nn.Sequential(*children)
            self.projection_head = MoCoProjectionHead(512, 8, 8)
            average = trained_resnet()
            average.load_state_dict({**model.state_dict(), **other(backbone_of(model))})
            self.backbone_momentum = nn.Sequential(*list(average.children())[:-1])
            self.projection_head_momentum = MoCoProjectionHead(512, 8, 8)
            deactivate_requires_grad(self.backbone_momentum)
            self.criterion = NTXentLoss(memory_bank_size=(16, 8))

    trainer = pytorch_lightning.Trainer(logger=False, accelerator="cpu", enable_model_summary=False)
    trainer.strategy.connect(MoCo())
    trainer.save_checkpoint(path)


def torchvision_file(model: nn.Module, path: Path) -> None:
    torch.save(model.state_dict(), path)


def legacy_torchvision_file(model: nn.Module, path: Path) -> None:
    """As torch saved before version 1.6."""
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)


def averaged(model: nn.Module, path: Path) -> None:
    """torch's AveragedModel around a torchvision network."""
    torch.save({"model_ema": torch.optim.swa_utils.AveragedModel(model).state_dict()}, path)


def timm_file(model: nn.Module, path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    blocks = {18: "resnet18", 50: "resnet50"}[50 if "layer1.0.conv3.weight" in model.state_dict() else 18]
    network = timm.create_model(blocks)
    network.load_state_dict(model.state_dict(), strict=True)
    save_file(network.state_dict(), path)


def detectron2_network(model: nn.Module, early_stride: bool = False, norm: str = "BN") -> nn.Module:
    """Detectron2's own ResNet with the weights of a torchvision network, copied layer by layer."""
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone.resnet import build_resnet_backbone

    cfg = get_cfg()
    depth = 50 if "layer1.0.conv3.weight" in model.state_dict() else 18
    settings = cfg.MODEL.RESNETS
    settings.DEPTH, settings.NORM, settings.STRIDE_IN_1X1 = depth, norm, early_stride
    settings.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    settings.RES2_OUT_CHANNELS = 256 if depth == 50 else 64
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    network: nn.Module = build_resnet_backbone(cfg, ShapeSpec(channels=3)).eval()

    def copy(convolution: nn.Module, source: nn.Module, statistics: nn.Module) -> None:
        convolution.weight.data.copy_(source.weight)
        convolution.norm.load_state_dict(statistics.state_dict(), strict=norm == "BN")

    copy(network.stem.conv1, model.conv1, model.bn1)
    for stage in range(1, 5):
        for ours, theirs in zip(
            getattr(network, f"res{stage + 1}"), getattr(model, f"layer{stage}"), strict=True
        ):
            for number in (1, 2, 3) if depth == 50 else (1, 2):
                copy(
                    getattr(ours, f"conv{number}"),
                    getattr(theirs, f"conv{number}"),
                    getattr(theirs, f"bn{number}"),
                )
            if ours.shortcut is not None:
                copy(ours.shortcut, theirs.downsample[0], theirs.downsample[1])
    return network


def detectron2(model: nn.Module, path: Path) -> None:
    """What Detectron2's convert-torchvision-to-d2.py writes."""
    state = detectron2_network(model).state_dict()
    arrays = {name: tensor.numpy() for name, tensor in state.items() if "num_batches" not in name}
    arrays |= {"stem.fc.weight": np.zeros((10, 8), np.float32), "stem.fc.bias": np.zeros(10, np.float32)}
    path.write_bytes(
        pickle.dumps({"model": arrays, "__author__": "torchvision", "matching_heuristics": True})
    )


def msra(model: nn.Module, path: Path) -> None:
    """Caffe2's names and a scale and bias for every batch norm, as in Detectron2's MSRA/R-50.pkl."""
    blobs: dict[str, Any] = {"conv1_w": model.conv1.weight, "conv1_b": torch.zeros(64)}
    blobs |= {"res_conv1_bn_s": model.bn1.weight, "res_conv1_bn_b": model.bn1.bias}
    for stage in range(1, 5):
        for number, block in enumerate(getattr(model, f"layer{stage}")):
            start = f"res{stage + 1}_{number}_branch"
            for letter, index in (("a", 1), ("b", 2), ("c", 3)):
                blobs[f"{start}2{letter}_w"] = getattr(block, f"conv{index}").weight
                blobs[f"{start}2{letter}_bn_s"] = getattr(block, f"bn{index}").weight
                blobs[f"{start}2{letter}_bn_b"] = getattr(block, f"bn{index}").bias
            if block.downsample is not None:
                blobs[f"{start}1_w"] = block.downsample[0].weight
                blobs[f"{start}1_bn_s"] = block.downsample[1].weight
                blobs[f"{start}1_bn_b"] = block.downsample[1].bias
    blobs |= {"fc1000_w": torch.zeros(10, 8), "fc1000_b": torch.zeros(10)}
    arrays = {name: tensor.detach().numpy() for name, tensor in blobs.items()}
    path.write_bytes(pickle.dumps({"blobs": arrays}, protocol=2))


Writer = Callable[[nn.Module, Path], None]
# Name of the format that a reader must tell -> who writes it.
LAYOUTS: dict[str, tuple[str, Writer]] = {
    "moco": ("moco", moco),
    "moco, compiled": ("moco", moco_compiled),
    "moco-v3": ("moco-v3", moco_v3),
    "simsiam": ("simsiam", simsiam),
    "barlow-twins": ("barlow-twins", barlow_twins),
    "vicreg": ("vicreg", vicreg),
    "swav": ("swav", swav),
    "dino": ("dino", dino),
    "openselfsup": ("openmmlab", openselfsup),
    "mmpretrain": ("openmmlab", mmpretrain),
    "vissl": ("vissl", vissl),
    "solo-learn": ("solo-learn", solo_learn),
    "solo-learn before 1.0.5": ("solo-learn", solo_learn_old),
    "lightly": ("lightly", lightly),
    "torchvision": ("torchvision", torchvision_file),
    "torchvision, before torch 1.6": ("torchvision", legacy_torchvision_file),
    "averaged": ("torchvision", averaged),
    "timm": ("torchvision", timm_file),
    "detectron2": ("detectron2", detectron2),
}
WITH_MOMENTUM = ("moco", "moco-v3", "openselfsup", "mmpretrain", "solo-learn", "lightly")
