"""The linear rule: how a schedule changes with the batch (Goyal et al. 2017)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

RATES = ("learning_rate", "final_learning_rate")
# What a run with another batch changes by the rule; all but the learning rates count iterations.
SCALED = (*RATES, "iterations", "fewest_iterations", "decay_at", "warmup_iterations")


def by_linear_rule(values: Mapping[str, Any], stated: Collection[str]) -> dict[str, Any]:
    """Return settings whose schedule fits their batch size.

    Learning rates are multiplied by batch_size / reference_batch_size and numbers of iterations are divided
    by it, so that a run sees as many images as in the reference; what the user states is kept.

    Args:
        values: raw settings by name; those that are not numbers are left to the validation.
        stated: names of the settings that the user states.
    """
    found = dict(values)
    try:
        factor = float(values["batch_size"]) / float(values["reference_batch_size"])
        if factor == 1 or not 0 < factor < float("inf"):
            return found
        for name in SCALED:
            if name in values and name not in stated:
                found[name] = _scaled(name, values[name], factor)
    except (KeyError, TypeError, ValueError, OverflowError, ZeroDivisionError):
        return dict(values)
    return found


def _scaled(name: str, value: Any, factor: float) -> Any:
    if name in RATES:
        return float(value) * factor
    if isinstance(value, list | tuple):
        return [_scaled(name, item, factor) for item in value]
    return max(1, round(float(value) / factor)) if float(value) else 0
