"""What `mmbench.plugins` loads: importing a module registers what it defines."""

from mmbench.tasks import add_protocols
from mmbench_extras import arrays, cutout, retrieval, student, uniformity

__all__ = ["arrays", "cutout", "retrieval", "student", "uniformity"]

add_protocols("mmbench_extras.protocols")
