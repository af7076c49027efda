"""Names of rows and of controls; this module is light, so that plans and help can be made without torch."""

from __future__ import annotations

from mmbench.errors import UserError, shown
from mmbench.records.fields import name_problem

RANDOM_CONTROLS = ("random", "random-high-pass")
CONTROLS = (*RANDOM_CONTROLS, "pixels")


def check_arm(arm: str, spec: str) -> None:
    """Check a name for the row that records are filed under.

    A control keeps its own word at the start, so that its row is never taken for a pretraining.

    Args:
        spec: what `load_model` is given; empty for a model in memory.

    Raises:
        UserError: it is not a valid name, is that of a control, or hides one.
    """
    if problem := name_problem(arm):
        raise UserError(f"--arm {shown(arm)} {problem}; name a row of the leaderboard, such as --arm moco-b")
    if spec in CONTROLS and not (arm == spec or (arm.startswith(f"{spec} ") and arm not in CONTROLS)):
        raise UserError(f"{spec} is a control, and its row says so; use a name such as --arm '{spec} {arm}'")
    if spec not in CONTROLS and arm in CONTROLS:
        raise UserError(f"--arm {arm} is the row of a control; choose another name")
