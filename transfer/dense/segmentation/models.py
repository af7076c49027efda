"""Parts registered with mmsegmentation: networks in bfloat16."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from mmseg.models import EncoderDecoder, FCNHead
from mmseg.registry import MODELS
from torch import Tensor

from mmbench.device import bfloat16_autocast
from mmbench.narrow_maps import float32_where_narrow
from mmbench.transfer.dense.common.architectures import channels_first


def bfloat16_if(wanted: bool, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return an autocast context for the protocol's bfloat16; without it, the precision stays what it is."""
    return bfloat16_autocast(device, wanted) if wanted else contextlib.nullcontext()


@MODELS.register_module()
class MMBenchSegmentor(EncoderDecoder):
    """mmsegmentation's EncoderDecoder in the channels-last format, in bfloat16 if asked for.

    mmengine's own mixed precision refuses to run on a CPU; with this a CPU trains almost twice as fast.
    """

    def __init__(self, bfloat16: bool = False, **others: Any) -> None:
        super().__init__(**others)
        self.bfloat16 = bfloat16
        self.to(memory_format=torch.channels_last)
        float32_where_narrow(self)

    def extract_feat(self, inputs: Tensor) -> list[Tensor]:
        """Return the backbone's float32 maps of images (N, 3, H, W), finest first."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with bfloat16_if(self.bfloat16, inputs.device):
            maps = super().extract_feat(inputs)
        maps = channels_first(getattr(self.backbone, "timm_model", self.backbone), maps)
        return [features.float() for features in maps]


@MODELS.register_module()
class MMBenchFCNHead(FCNHead):
    """mmsegmentation's FCNHead, its convolutions in bfloat16 if asked for; logits and loss in float32."""

    def __init__(self, bfloat16: bool = False, **others: Any) -> None:
        super().__init__(**others)
        self.bfloat16 = bfloat16

    def _forward_feature(self, inputs: list[Tensor]) -> Tensor:
        with bfloat16_if(self.bfloat16, inputs[0].device):
            features: Tensor = super()._forward_feature(inputs)
        return features.float()
