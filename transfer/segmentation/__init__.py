"""Semantic segmentation with mmsegmentation: task `segmentation`. Importing this does not import mmseg."""

from mmbench.transfer.segmentation.task import segmentation

__all__ = ["segmentation"]
