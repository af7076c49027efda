"""Task `linear` and its kinds of probes."""

from mmbench.transfer.tasks.linear.task import linear

__all__ = ["linear"]
