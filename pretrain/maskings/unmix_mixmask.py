"""Un-Mix + MixMask: both mixed branches beside the clean query (MixMask, arXiv 2210.11456, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal, cast

from torch import Generator, Tensor

from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings
from mmbench.pretrain.maskings.mixmask import MixMask, MixMaskSettings
from mmbench.pretrain.maskings.unmix import UnMix, UnMixSettings
from mmbench.settings.types import Share


class BothSettings(MixMaskSettings):
    """MixMask's settings, and Un-Mix's share of global mixes; `per_sample` holds for both."""

    partner: Literal["flip", "permutation"] = "permutation"
    global_share: Share = 0.5


@MASKINGS.register("unmix+mixmask")
class UnMixAndMixMask(Masking):
    """L = L(q, k) + Un-Mix's mixed terms + MixMask's mixed terms."""

    Settings: ClassVar[type[MaskingSettings]] = BothSettings
    branches: ClassVar[Mapping[str, str]] = {"unmix": "Un-Mix", "mixmask": "MixMask"}
    keeps_clean_query = True

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        both = cast(BothSettings, settings)
        unmix = UnMixSettings(global_share=both.global_share, per_sample=both.per_sample)
        self.parts = {"unmix": UnMix(unmix, image_size), "mixmask": MixMask(both, image_size)}

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Mix each image twice, independently."""
        return tuple(
            replace(masked, name=name)
            for name, part in self.parts.items()
            for masked in part(images, generator)
        )
