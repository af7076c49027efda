"""The run folder: where a pretraining run keeps its settings, its metrics and its checkpoints.

    run/
      settings.yaml       the resolved configuration
      metrics.jsonl       one JSON object per logged step or epoch
      training/           step-00000123.pth: everything needed to go on (the newest few are kept)
      tensorboard/
      views.png curves.png
      config.json         with model.safetensors: timm's `local-dir:` form
      model.safetensors   the backbone alone, under torchvision's names; `checkpoint_path=` loads it as it is
      card.json           the ModelCard
      README.md           the card for people

`model.safetensors` and `card.json` appear when the run is finished, so their presence means "done".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """The names inside one run folder."""

    root: Path

    @property
    def settings(self) -> Path:
        """The resolved configuration (YAML)."""
        return self.root / "settings.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON object per line."""
        return self.root / "metrics.jsonl"

    @property
    def training(self) -> Path:
        """The folder of resumable training states."""
        return self.root / "training"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.root / "tensorboard"

    @property
    def weights(self) -> Path:
        """The finished backbone."""
        return self.root / "model.safetensors"

    @property
    def hub_config(self) -> Path:
        """timm's config.json."""
        return self.root / "config.json"

    @property
    def card(self) -> Path:
        """The ModelCard as JSON."""
        return self.root / "card.json"

    @property
    def readme(self) -> Path:
        """The card for people."""
        return self.root / "README.md"

    @property
    def finished(self) -> bool:
        """Whether the run has ended well."""
        return self.weights.is_file() and self.card.is_file()
