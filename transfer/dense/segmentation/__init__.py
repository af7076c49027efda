"""Task `segmentation`: with mmsegmentation, which importing this package does not import."""

from mmbench.transfer.dense.segmentation.task import segmentation

__all__ = ["segmentation"]
