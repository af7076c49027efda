"""mmbench: does this pretraining transfer?

Importing this package makes the `mixmask_*` backbones known to timm, without importing timm:
if timm is already there they are registered at once, otherwise at the moment timm is imported.
"""

from mmbench.registration import register_with_timm
from mmbench.version import __version__

register_with_timm()

__all__ = ["__version__"]
