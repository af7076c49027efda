"""Task `dense`: probes on the feature maps of a frozen encoder, scored by the pixels of label maps."""

from mmbench.transfer.dense.probes.task import dense

__all__ = ["dense"]
