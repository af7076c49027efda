"""What is known of weights before their network and images are decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.format import Format
from mmbench.checkpoints.images.evidence import Evidence
from mmbench.checkpoints.images.processor import Processor
from mmbench.checkpoints.images.timm_config import CONFIG
from mmbench.checkpoints.stated import NOTHING_STATED, Stated


@dataclass(frozen=True)
class Known:
    """What is known before anything is decided.

    Attributes:
        weights: the file, for messages.
        entry: its format.
        card: our card, from the file, from beside it, or of a training state.
        config: timm's config.json.
        config_origin: what the card calls it.
        processor: transformers' preprocessor_config.json.
        evidence: what the file shows.
        frozen: whether batch norms are frozen scales; see `evidence.frozen_affine`.
        arch_origin: who named the architecture: the user, a card or a configuration; empty for nobody.
        training_state: whether the file is a state of an unfinished run of ours.
        verified: whether card.json and the weights were compared with their digests.
        stated: what the user states.
    """

    weights: Path
    entry: Format
    card: ModelCard | None
    config: Mapping[str, Any]
    evidence: Evidence
    frozen: bool
    arch_origin: str = ""
    training_state: bool = False
    verified: bool | None = None
    stated: Stated = NOTHING_STATED
    config_origin: str = CONFIG
    processor: Processor | None = None

    @property
    def arch_named(self) -> bool:
        """Whether the architecture was named, and not only found by names and shapes."""
        return bool(self.arch_origin)
