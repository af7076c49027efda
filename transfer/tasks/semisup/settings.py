"""Settings of the semi-supervised protocols."""

from __future__ import annotations

from mmbench.settings.types import PositiveShare
from mmbench.transfer.training.settings import FinetuneSettings


class SemisupSettings(FinetuneSettings):
    """Finetuning on `fraction` of the labels."""

    fraction: PositiveShare
