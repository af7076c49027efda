"""Detectron2 is optional: say so in one line where it is missing."""

from __future__ import annotations

import importlib.util

from mmbench.errors import MissingExtraError

INSTALL = "pip install 'mmbench[detection]' && python -m mmbench.tools.install_detectron2"


def require_detectron2() -> None:
    """Raise MissingExtraError unless Detectron2 and the COCO tools can be imported."""
    for module, library in (("detectron2", "Detectron2"), ("pycocotools", "pycocotools")):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(library, "detection", INSTALL)
