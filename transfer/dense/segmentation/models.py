"""Parts registered with mmsegmentation: a preprocessor that can high-pass, and networks in bfloat16."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from mmseg.models import EncoderDecoder, FCNHead, SegDataPreProcessor
from mmseg.registry import MODELS
from torch import Tensor

from mmbench.checkpoints.card import HighPass
from mmbench.device import bfloat16_autocast
from mmbench.preprocessing import high_pass


def bfloat16_if(wanted: bool, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return an autocast context for the protocol's bfloat16; without it, the precision stays what it is."""
    return bfloat16_autocast(device, wanted) if wanted else contextlib.nullcontext()


@MODELS.register_module()
class MMBenchPreprocessor(SegDataPreProcessor):
    """mmsegmentation's preprocessor; where the card asks for it, normalised images are high-passed.

    mmsegmentation normalises and then pads. The filter comes between the two, so that it sees the
    image's own border as it did in pretraining, and padding stays what it is: zero.

    Args:
        filter: `kernel_size` and `sigma` of the high-pass filter, or None.
        others: SegDataPreProcessor's own; mean and std are in 0..255.
    """

    _channel_conversion: bool
    _enable_normalize: bool

    def __init__(self, filter: dict[str, Any] | None = None, **others: Any) -> None:
        super().__init__(**others)
        self.high_pass = None if filter is None else HighPass(**filter)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return `inputs` (float32, N x 3 x H x W, RGB) and `data_samples` from uint8 BGR images."""
        if self.high_pass is None:
            return dict(super().forward(data, training))
        data = self.cast_data(data)
        channels = [2, 1, 0] if self._channel_conversion else [0, 1, 2]
        normalised = [(image[channels].float() - self.mean) / self.std for image in data["inputs"]]
        filtered = [high_pass(image, self.high_pass) for image in normalised]
        conversion, normalisation = self._channel_conversion, self._enable_normalize
        self._channel_conversion = self._enable_normalize = False  # both are done
        try:
            return dict(super().forward({**data, "inputs": filtered}, training))
        finally:
            self._channel_conversion, self._enable_normalize = conversion, normalisation


@MODELS.register_module()
class MMBenchSegmentor(EncoderDecoder):
    """mmsegmentation's EncoderDecoder with a channels-last backbone, in bfloat16 if asked for.

    mmengine's own mixed precision refuses to run on a CPU; with this a CPU trains almost twice as fast.
    """

    def __init__(self, bfloat16: bool = False, **others: Any) -> None:
        super().__init__(**others)
        self.bfloat16 = bfloat16
        self.backbone.to(memory_format=torch.channels_last)

    def extract_feat(self, inputs: Tensor) -> list[Tensor]:
        """Return the backbone's float32 maps of images (N, 3, H, W), finest first."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with bfloat16_if(self.bfloat16, inputs.device):
            maps = super().extract_feat(inputs)
        return [features.float() for features in maps]


@MODELS.register_module()
class MMBenchFCNHead(FCNHead):
    """mmsegmentation's FCNHead, its convolutions in bfloat16 if asked for; logits and loss in float32."""

    def __init__(self, bfloat16: bool = False, **others: Any) -> None:
        super().__init__(**others)
        self.bfloat16 = bfloat16
        self.to(memory_format=torch.channels_last)

    def _forward_feature(self, inputs: list[Tensor]) -> Tensor:
        with bfloat16_if(self.bfloat16, inputs[0].device):
            features: Tensor = super()._forward_feature(inputs)
        return features.float()
