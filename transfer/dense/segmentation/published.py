"""mmsegmentation's own configuration files, which our configurations start from."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import mmseg
from mmengine.config import Config

from mmbench.errors import UserError

CONFIGS = Path(mmseg.__file__).parent / ".mim" / "configs"


@functools.cache
def _file(name: str) -> Config:
    try:
        return Config.fromfile(CONFIGS / name)
    except FileNotFoundError:
        raise UserError(
            f"mmsegmentation is installed without its configuration files ({name}); install it as a package: "
            "pip install 'mmbench[segmentation]'"
        ) from None


def published(name: str) -> dict[str, Any]:
    """Return a configuration file of mmsegmentation as plain values.

    Args:
        name: below the folder configs, such as "_base_/models/fcn_r50-d8.py".

    Raises:
        UserError: it is not installed.
    """
    return copy.deepcopy(dict(_file(name).to_dict()))
