"""A task, a masking with two branches, a data set and a checkpoint format, from outside mmbench."""

from mmbench.tasks import add_protocols
from mmbench_outside import checkpoint_format, halves, retrieval, stripes

add_protocols("mmbench_outside.protocols")

__all__ = ["checkpoint_format", "halves", "retrieval", "stripes"]
