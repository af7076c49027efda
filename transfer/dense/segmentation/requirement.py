"""mmsegmentation is optional: say so in one line where it is missing."""

from __future__ import annotations

import importlib.util

from mmbench.errors import MissingExtraError

INSTALL = "pip install 'mmbench[segmentation]'"
LIBRARIES = {"mmengine": "mmengine", "mmcv": "mmcv", "mmseg": "mmsegmentation"}


def require_mmseg() -> None:
    """Raise MissingExtraError unless mmengine, mmcv and mmsegmentation can be found."""
    for module, library in LIBRARIES.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(library, "segmentation", INSTALL)
