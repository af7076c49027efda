"""Keypoint R-CNN on the FPN (He et al. 2017; configs/COCO-Keypoints/Base-Keypoint-RCNN-FPN.yaml)."""

from __future__ import annotations

from mmbench.transfer.dense.detection.detector_settings import FpnSettings
from mmbench.transfer.dense.detection.detectors.fpn import Fpn
from mmbench.transfer.dense.detection.detectors.registry import DETECTORS


class Keypoint(Fpn):
    """The FPN with a head that finds keypoints in every box."""

    name = "keypoint"

    def title(self, settings: FpnSettings) -> str:
        """Return the detector's name for records."""
        return "Keypoint R-CNN with masks" if settings.masks else "Keypoint R-CNN"


DETECTORS.register("keypoint")(Keypoint())
