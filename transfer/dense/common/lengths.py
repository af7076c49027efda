"""Lengths of trainings that follow from the number of training images."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any


def length_by_data(
    iterations: int, epochs: int, fewest: int, *, images: int, batch_size: int
) -> tuple[int, float]:
    """Return the length of a run in iterations, and its share of the longest.

    Args:
        iterations, fewest: the bounds of the length.
        epochs: passes over the training images, within these bounds.
    """
    length = min(iterations, max(fewest, -(-epochs * images // batch_size)))  # rounded up
    return length, length / iterations


def shrunk_decays(decays: Sequence[Any], length: int, share: float) -> tuple[int, ...]:
    """Return milestones in proportion to a run that is shorter by `share`, without those at its end."""
    found = sorted({max(1, round(int(decay) * share)) for decay in decays})
    return tuple(decay for decay in found if decay < length)


def of_stated_length(
    values: Mapping[str, Any], protocol: Mapping[str, Any], stated: Collection[str]
) -> dict[str, Any]:
    """Return what replaces `epochs` where the user states the iterations: a schedule in proportion.

    Args:
        values: raw settings by name.
        protocol: its own settings.
        stated: names of the settings that the user states, which are left out.
    """
    try:
        length = int(values["iterations"])
        share = length / int(protocol["iterations"])
        found: dict[str, Any] = {
            "decay_at": list(shrunk_decays(values.get("decay_at", ()), length, share)),
            "warmup_iterations": min(int(values.get("warmup_iterations", 0)), length // 10),
        }
        if "precise_bn_iterations" in values:
            found["precise_bn_iterations"] = min(int(values["precise_bn_iterations"]), length)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return {}  # the validation names what is wrong
    return {"epochs": None} | {name: value for name, value in found.items() if name not in stated}
