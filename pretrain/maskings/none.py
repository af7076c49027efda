"""No masking: the framework as its authors made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Generator, Tensor

from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings


class NoSettings(MaskingSettings):
    """No settings."""


@MASKINGS.register("none")
class NoMasking(Masking):
    """Leaves the query as it is."""

    Settings: ClassVar[type[MaskingSettings]] = NoSettings
    branches: ClassVar[Mapping[str, str]] = {}
    keeps_clean_query = True

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        pass

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Return no branch: only the clean query is compared."""
        return ()
