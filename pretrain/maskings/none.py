"""No masking: the framework as its authors made it."""

from __future__ import annotations

from typing import ClassVar

from torch import Generator, Tensor

from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings


class NoSettings(MaskingSettings):
    """There is nothing to set."""


@MASKINGS.register("none")
class NoMasking(Masking):
    """Leaves the query alone."""

    Settings: ClassVar[type[MaskingSettings]] = NoSettings
    keeps_clean_query = True

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        pass

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Return no branch: the clean query is all there is."""
        return ()
