"""Object detection with Detectron2: task `detection`. Importing this package does not import Detectron2."""

from mmbench.transfer.dense.detection.task import detection

__all__ = ["detection"]
