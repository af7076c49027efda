"""The data preprocessor of a segmentor: normalisation, the card's high-pass filter, and padding."""

from __future__ import annotations

from typing import Any, Literal

import torch
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS

from mmbench.checkpoints.card import HighPass
from mmbench.images.preprocessing import high_pass


@MODELS.register_module()
class MMBenchPreprocessor(SegDataPreProcessor):
    """mmsegmentation's preprocessor, which normalises and then pads, with a filter and black padding.

    Where the card asks for it, normalised images are high-passed before they are padded, so that the filter
    sees the image's own border as it did in pretraining.

    Args:
        filter: `kernel_size` and `sigma` of the high-pass filter, or None.
        padding: "zero" pads with what the mean colour becomes; "black" with what black pixels become, which
            is zero too after a high-pass filter.
        others: SegDataPreProcessor's own; mean and std are in 0..255.
    """

    _channel_conversion: bool
    _enable_normalize: bool

    def __init__(
        self,
        filter: dict[str, Any] | None = None,
        padding: Literal["zero", "black"] = "zero",
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.high_pass = None if filter is None else HighPass(**filter)
        self.black = padding == "black" and self.high_pass is None

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Return `inputs` (float32, N x 3 x H x W, RGB) and `data_samples` from uint8 BGR images."""
        filter_ = self.high_pass
        if filter_ is None:
            found = dict(super().forward(data, training))
        else:
            found = self._filtered(data, training, filter_)
        if training and self.black:
            black = -self.mean / self.std
            for image, sample in zip(found["inputs"], found["data_samples"], strict=True):
                height, width = sample.img_shape  # without padding, which is below and to the right
                image[:, height:] = black
                image[:, :, width:] = black
        return found

    def _filtered(self, data: dict[str, Any], training: bool, filter_: HighPass) -> dict[str, Any]:
        data = self.cast_data(data)
        channels = [2, 1, 0] if self._channel_conversion else [0, 1, 2]
        normalised = [(image[channels].float() - self.mean) / self.std for image in data["inputs"]]
        filtered: list[torch.Tensor] = [high_pass(image, filter_) for image in normalised]
        conversion, normalisation = self._channel_conversion, self._enable_normalize
        self._channel_conversion = self._enable_normalize = False  # both are done
        try:
            return dict(super().forward({**data, "inputs": filtered}, training))
        finally:
            self._channel_conversion, self._enable_normalize = conversion, normalisation
