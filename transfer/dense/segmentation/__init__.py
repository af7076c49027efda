"""Semantic segmentation with mmsegmentation: task `segmentation`. Importing this does not import mmseg."""

from mmbench.transfer.dense.segmentation.task import segmentation

__all__ = ["segmentation"]
