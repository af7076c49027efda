"""Parts registered with Detectron2: timm backbones, heads with an extra norm, an R-CNN that high-passes."""

from __future__ import annotations

from typing import Any

import timm
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec, get_norm
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    ROI_BOX_HEAD_REGISTRY,
    ROI_HEADS_REGISTRY,
    Backbone,
)
from detectron2.modeling.backbone.fpn import FPN
from detectron2.modeling.backbone.resnet import BasicBlock, ResNet
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.modeling.roi_heads import Res5ROIHeads
from detectron2.structures import ImageList
from torch import Tensor, nn

from mmbench.checkpoints.card import HighPass
from mmbench.checkpoints.options import NO_OPTIONS, Options
from mmbench.device import bfloat16_autocast
from mmbench.errors import UserError
from mmbench.preprocessing import high_pass
from mmbench.transfer.dense.common.architectures import feature_maps

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

    Raises:
        UserError: timm offers no feature maps of such strides for this architecture.
    """

    def __init__(
        self, arch: str, finest_stride: int = 4, bfloat16: bool = False, options: Options = NO_OPTIONS
    ) -> None:
        super().__init__()
        self.bfloat16 = bfloat16
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
        self.timm_model.to(memory_format=torch.channels_last)
        named = {f"stride{level.stride}": level for level in wanted}
        self._out_features = list(named)
        self._out_feature_strides = {name: level.stride for name, level in named.items()}
        self._out_feature_channels = {name: level.channels for name, level in named.items()}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of images (N, 3, H, W) by name, each (N, C, H / stride, W / stride)."""
        images = images.contiguous(memory_format=torch.channels_last)
        with bfloat16_autocast(images.device, self.bfloat16):
            maps = self.timm_model(images)
        return {name: features.float() for name, features in zip(self._out_features, maps, strict=True)}

    @property
    def size_divisibility(self) -> int:
        """Images are padded to a multiple of the coarsest stride."""
        return int(max(self._out_feature_strides.values()))


@BACKBONE_REGISTRY.register()
def build_mmbench_timm(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """Return `cfg.MODEL.TIMM.ARCH`: as it is if it has one level, else under a light FPN (Lin et al. 2017).

    Levels of an FPN are called p2 (stride 4), p3, ...
    """
    timm_cfg = cfg.MODEL.TIMM
    bottom_up = TimmBackbone(timm_cfg.ARCH, timm_cfg.FINEST_STRIDE, timm_cfg.BFLOAT16, dict(timm_cfg.OPTIONS))
    if len(bottom_up.output_shape()) == 1:
        return bottom_up
    return FPN(bottom_up, list(bottom_up.output_shape()), cfg.MODEL.FPN.OUT_CHANNELS, norm=cfg.MODEL.FPN.NORM)


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
        self.norm = nn.BatchNorm2d(channels)
        self.hidden = nn.Linear(channels * input_shape.height * input_shape.width, width, bias=False)
        self.hidden_norm = nn.BatchNorm1d(width)
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
        res5.add_module("norm", get_norm(norm, channels))
        return res5, channels


@META_ARCH_REGISTRY.register()
class MMBenchRCNN(GeneralizedRCNN):
    """Detectron2's R-CNN; where the card asks for it, normalised images are high-passed first."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self.high_pass = (
            HighPass(kernel_size=cfg.MODEL.HIGH_PASS.KERNEL_SIZE, sigma=cfg.MODEL.HIGH_PASS.SIGMA)
            if cfg.MODEL.HIGH_PASS.ENABLED
            else None
        )

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalise, high-pass image by image (before padding, whose edge it would mark), pad, batch."""
        if self.high_pass is None:
            return super().preprocess_image(batched_inputs)
        images = [
            high_pass(
                (self._move_to_current_device(item["image"]) - self.pixel_mean) / self.pixel_std,
                self.high_pass,
            )
            for item in batched_inputs
        ]
        return ImageList.from_tensors(
            images, self.backbone.size_divisibility, padding_constraints=self.backbone.padding_constraints
        )
