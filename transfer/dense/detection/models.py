"""Parts registered with Detectron2: timm backbones, heads with an extra norm, an R-CNN that high-passes."""

from __future__ import annotations

import contextlib
from typing import Any

import timm
import torch
from detectron2.config import CfgNode
from detectron2.layers import CNNBlockBase, ShapeSpec, get_norm
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    ROI_BOX_HEAD_REGISTRY,
    ROI_HEADS_REGISTRY,
    Backbone,
)
from detectron2.modeling.backbone.fpn import FPN, LastLevelMaxPool, LastLevelP6P7
from detectron2.modeling.backbone.resnet import BasicBlock, ResNet
from detectron2.modeling.meta_arch import GeneralizedRCNN, RetinaNet
from detectron2.modeling.roi_heads import Res5ROIHeads
from detectron2.structures import ImageList
from torch import Tensor, nn

from mmbench.checkpoints.card import HighPass
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options
from mmbench.device import bfloat16_autocast
from mmbench.errors import UserError
from mmbench.images.preprocessing import high_pass
from mmbench.transfer.dense.common.architectures import channels_first, feature_maps
from mmbench.transfer.dense.common.norms import fit_device, synchronise

RES5_BASIC_BLOCKS = {18: 2, 34: 3}  # He et al. 2016, table 1


class TimmBackbone(Backbone):
    """Any timm ConvNet as a Detectron2 backbone.

    The network is `timm_model`, a `features_only` model of every stage from the first with a stride of
    `finest_stride`; its outputs are called "stride4", "stride8", ... Weights are laid out channels last.

    Args:
        arch: timm name.
        finest_stride: stride of the first map, 4 as in FPN, or 8.
        bfloat16: compute in bfloat16 (weights and outputs stay float32); nearly twice as fast on new CPUs;
            on a device without it, in float32.
        options: how the network is built, where names and shapes of its tensors do not determine it.
        frozen: no gradient, and norms in evaluation mode.
        norm: its batch norms are synchronised over processes unless this is "bn".

    Raises:
        UserError: timm offers no feature maps of such strides for this architecture.
    """

    def __init__(
        self,
        arch: str,
        finest_stride: int = 4,
        bfloat16: bool = False,
        options: Options = NO_OPTIONS,
        *,
        frozen: bool = False,
        norm: str = "bn",
    ) -> None:
        super().__init__()
        self.bfloat16, self.frozen = bfloat16, frozen
        levels = feature_maps(arch, "detection", options)
        wanted = [level for level in levels if level.stride >= finest_stride]
        strides = [level.stride for level in wanted]
        if strides != [finest_stride << power for power in range(max(len(strides), 1))]:
            raise UserError(
                f"detection needs feature maps of strides {finest_stride}, {2 * finest_stride}, ...; "
                f"'{arch}' has strides {[level.stride for level in levels]}"
            )
        indices = tuple(level.index for level in wanted)
        self.timm_model = timm.create_model(arch, features_only=True, out_indices=indices, **options)
        if norm != "bn" and not frozen:
            self.timm_model = synchronise(self.timm_model)
        if frozen:
            self.timm_model.requires_grad_(False).eval()
        self.timm_model.to(memory_format=torch.channels_last)
        named = {f"stride{level.stride}": level for level in wanted}
        self._out_features = list(named)
        self._out_feature_strides = {name: level.stride for name, level in named.items()}
        self._out_feature_channels = {name: level.channels for name, level in named.items()}

    def train(self, mode: bool = True) -> TimmBackbone:
        """Set the mode; a frozen network stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.timm_model.eval()
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of images (N, 3, H, W) by name, each (N, C, H / stride, W / stride)."""
        images = images.contiguous(memory_format=torch.channels_last)
        # Without it, the autocast of --precision stays in force.
        autocast = bfloat16_autocast(images.device, True) if self.bfloat16 else contextlib.nullcontext()
        with autocast:
            maps = channels_first(self.timm_model, self.timm_model(images))
        return {name: features.float() for name, features in zip(self._out_features, maps, strict=True)}

    @property
    def size_divisibility(self) -> int:
        """Images are padded to a multiple of the coarsest stride."""
        return int(max(self._out_feature_strides.values()))


def _bottom_up(cfg: CfgNode) -> TimmBackbone:
    timm_cfg = cfg.MODEL.TIMM
    return TimmBackbone(
        timm_cfg.ARCH,
        timm_cfg.FINEST_STRIDE,
        timm_cfg.BFLOAT16,
        dict(timm_cfg.OPTIONS),
        frozen=cfg.MODEL.BACKBONE.FREEZE_AT > 0,
        norm=timm_cfg.NORM,
    )


def _pyramid(cfg: CfgNode, bottom_up: TimmBackbone, top_block: nn.Module | None) -> FPN:
    return FPN(
        bottom_up,
        list(bottom_up.output_shape()),
        cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


@BACKBONE_REGISTRY.register()
def build_mmbench_timm(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Return `cfg.MODEL.TIMM.ARCH`: as it is if it has one level, else under a light FPN (Lin et al. 2017).

    Levels of an FPN are called p2 (stride 4), p3, ...
    """
    bottom_up = _bottom_up(cfg)
    return bottom_up if len(bottom_up.output_shape()) == 1 else _pyramid(cfg, bottom_up, None)


@BACKBONE_REGISTRY.register()
def build_mmbench_timm_fpn(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Return the twin of Detectron2's build_resnet_fpn_backbone: levels p2 to p5, and p6 by max-pooling."""
    return _pyramid(cfg, _bottom_up(cfg), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_mmbench_timm_retinanet_fpn(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Return the twin of build_retinanet_resnet_fpn_backbone: levels p3 to p5, p6 and p7 by convolutions."""
    bottom_up = _bottom_up(cfg)
    name, coarsest = list(bottom_up.output_shape().items())[-1]
    return _pyramid(cfg, bottom_up, LastLevelP6P7(coarsest.channels, cfg.MODEL.FPN.OUT_CHANNELS, name))


@ROI_BOX_HEAD_REGISTRY.register()
class MMBenchBoxHead(nn.Module):
    """A norm on the pooled features, then their mean beside one hidden layer of all bins.

    The norm serves as MoCo's extra norm does. The mean represents the texture in a box and is read linearly,
    as in a linear probe; the hidden layer represents where in the box the object is.

    Args:
        input_shape: of the pooled features (C, S, S).
    """

    def __init__(self, cfg: CfgNode, input_shape: ShapeSpec) -> None:
        super().__init__()
        channels, width = input_shape.channels, cfg.MODEL.ROI_BOX_HEAD.FC_DIM
        self.norm = get_norm(cfg.MODEL.ROI_BOX_HEAD.NORM or "BN", channels)
        self.hidden = nn.Linear(channels * input_shape.height * input_shape.width, width, bias=False)
        sync = isinstance(self.norm, nn.SyncBatchNorm)
        self.hidden_norm = nn.SyncBatchNorm(width) if sync else nn.BatchNorm1d(width)
        self.output_shape = ShapeSpec(channels=channels + width)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return (regions, C + width) for pooled features (regions, C, S, S)."""
        pooled = self.norm(pooled)
        hidden = self.hidden_norm(self.hidden(pooled.flatten(1))).relu()
        return torch.cat([pooled.mean(dim=(2, 3)), hidden], dim=1)


@ROI_HEADS_REGISTRY.register()
class MMBenchRes5ROIHeads(Res5ROIHeads):
    """C4 heads with a norm after res5, for basic blocks too.

    The extra norm follows MoCo (He et al. 2020, appendix; facebookresearch/moco, detection/train_net.py): an
    unnormalised res5 would start far from the scale that the new heads expect. Detectron2 builds res5
    from bottlenecks only, so the basic blocks of ResNet-18 and 34 are built here.
    """

    @classmethod
    def _build_res5_block(cls, cfg: CfgNode) -> tuple[nn.Sequential, int]:
        depth, norm = cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.NORM
        if depth in RES5_BASIC_BLOCKS:
            count = RES5_BASIC_BLOCKS[depth]
            channels = cfg.MODEL.RESNETS.RES2_OUT_CHANNELS * 8
            blocks = ResNet.make_stage(
                BasicBlock,
                count,
                stride_per_block=[2] + [1] * (count - 1),
                in_channels=channels // 2,
                out_channels=channels,
                norm=norm,
            )
            res5 = nn.Sequential(*blocks)
        else:
            res5, channels = super()._build_res5_block(cfg)
        if cfg.MODEL.BACKBONE.FREEZE_AT >= 5:
            for block in res5.children():
                assert isinstance(block, CNNBlockBase)
                block.freeze()
        res5.add_module("norm", get_norm(norm, channels))
        return res5, channels


class CardInputs:
    """What the meta-architectures below share: images as the card says, norms that fit the device."""

    backbone: Backbone
    pixel_mean: Tensor
    pixel_std: Tensor
    high_pass: HighPass | None

    def follow(self, cfg: CfgNode) -> None:
        """Take over what `build_config` says beyond Detectron2's own keys; called after the construction."""
        wanted = cfg.MODEL.HIGH_PASS
        self.high_pass = (
            HighPass(kernel_size=wanted.KERNEL_SIZE, sigma=wanted.SIGMA) if wanted.ENABLED else None
        )
        assert isinstance(self, nn.Module)
        fit_device(self, torch.device(cfg.MODEL.DEVICE), "use --set backbone_norm=bn, or one process")

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalise, high-pass image by image (before padding, whose edge it would mark), pad, batch."""
        images = [item["image"].to(self.pixel_mean.device) for item in batched_inputs]
        images = [(image - self.pixel_mean) / self.pixel_std for image in images]
        if self.high_pass is not None:
            images = [high_pass(image, self.high_pass) for image in images]
        return ImageList.from_tensors(
            images, self.backbone.size_divisibility, padding_constraints=self.backbone.padding_constraints
        )


@META_ARCH_REGISTRY.register()
class MMBenchRCNN(CardInputs, GeneralizedRCNN):
    """Detectron2's R-CNN; where the card asks for it, normalised images are high-passed first."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self.follow(cfg)


@META_ARCH_REGISTRY.register()
class MMBenchRetinaNet(CardInputs, RetinaNet):
    """Detectron2's RetinaNet with the images of MMBenchRCNN.

    The running mean of the number of positive anchors, by which the losses are divided, is a buffer
    `loss_normaliser`, so that a continued training goes on with it; Detectron2 keeps a plain number.
    """

    loss_normaliser: Tensor

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        # -1 before the first iteration
        self.register_buffer("loss_normaliser", torch.tensor(-1.0, dtype=torch.float64))
        self.follow(cfg)

    def _ema_update(self, name: str, value: float, initial_value: float, momentum: float = 0.9) -> float:
        old = float(self.loss_normaliser)
        new = (initial_value if old < 0 else old) * momentum + value * (1 - momentum)
        self.loss_normaliser.copy_(torch.tensor(new, dtype=torch.float64))
        return new
