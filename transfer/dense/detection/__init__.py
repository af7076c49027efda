"""Task `detection`: object detection with Detectron2, which importing this package does not import."""

from mmbench.transfer.dense.detection.task import detection

__all__ = ["detection"]
