"""The registry of detectors, and what each of them provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from detectron2.config import CfgNode
from torch import nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options
from mmbench.checkpoints.networks.plain import COUNTER
from mmbench.registry import Registry
from mmbench.transfer.dense.detection.settings import DetectionSettings

Settings = TypeVar("Settings", bound=DetectionSettings)
# Parts of a Detectron2 backbone that start at random.
NEW_PARTS = ("backbone.fpn_lateral", "backbone.fpn_output", "backbone.top_block.")


class Detector(ABC, Generic[Settings]):
    """One kind of detector, an entry of `DETECTORS`.

    Attributes:
        name: in settings and records.
        takes: the architectures that it takes, as a phrase for messages.
    """

    name: str
    takes: str

    @abstractmethod
    def fits(self, arch: str, options: Options = NO_OPTIONS) -> bool:
        """Return whether the detector takes an architecture, built with these options."""

    @abstractmethod
    def configure(self, cfg: CfgNode, card: ModelCard, settings: Settings) -> None:
        """Fill in what differs between detectors; data, schedule and preprocessing are set already."""

    @abstractmethod
    def write_weights(
        self, backbone: Backbone, folder: Path, settings: Settings
    ) -> tuple[Path, tuple[str, ...]]:
        """Write a backbone as a file that Detectron2 loads.

        Returns:
            The file, and a note for the record on each thing that a reader must know.

        Raises:
            UserError: the backbone does not cover the architecture.
        """

    def title(self, settings: Settings) -> str:
        """Return the detector's name for records, such as "Mask R-CNN"."""
        return f"{'Mask' if settings.masks else 'Faster'} R-CNN"

    def from_backbone(self, place: str) -> bool:
        """Return whether a tensor of the detector, by its name, must come from the checkpoint."""
        return (
            place.startswith("backbone.")
            and not place.startswith(NEW_PARTS)
            and not place.endswith(
                COUNTER
            )  # Detectron2's frozen norms keep none, and no output depends on it
        )

    def score_heads(self, model: nn.Module) -> tuple[nn.Module, ...]:
        """Return the modules whose outputs are scores and boxes; a run whose scores are not finite ends."""
        return (
            model.get_submodule("proposal_generator.rpn_head"),
            model.get_submodule("roi_heads.box_predictor"),
        )


DETECTORS: Registry[Detector[Any]] = Registry("detector", "mmbench.transfer.dense.detection.detectors")


def detector_of(cfg: CfgNode) -> Detector[Any]:
    """Return the detector that a configuration of `build_config` is for."""
    return DETECTORS.get(cfg.MODEL.MMBENCH.DETECTOR)
