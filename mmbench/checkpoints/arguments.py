"""Arguments from Python by which a caller says how a checkpoint is read and written."""

from __future__ import annotations

from typing import get_args

from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError, shown
from mmbench.home import path_text
from mmbench.settings.python_values import flag, require_one_of, require_texts


def require_reading(spec: object, arch: object, encoder: object, stated: object) -> None:
    """Check the arguments of `mmbench.load_backbone`.

    Raises:
        UserError: one is of another kind; it is named.
    """
    path_text(spec, "spec")  # type: ignore[arg-type]
    require_texts(arch=arch)
    require_one_of(encoder, "encoder", get_args(Encoder))
    if not isinstance(stated, Stated):
        raise UserError(f"stated = {shown(stated)}: must be mmbench.checkpoints.stated.Stated(...)")


def require_conversion(target: object, verify: object, **flags: object) -> None:
    """Check the further arguments of `mmbench.convert_checkpoint`.

    Raises:
        UserError: one is of another kind; it is named.
    """
    if not isinstance(target, str):
        raise UserError(f"target = {shown(target)}: must be the name of a library, such as 'timm'")
    require_one_of(verify, "verify", (True, False, "later"))
    for name, value in flags.items():
        flag(value, name)
