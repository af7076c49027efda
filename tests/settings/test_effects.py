"""Conditions of settings: of one another, in chains, and in circles."""

from __future__ import annotations

from typing import Any

import pytest

from mmbench.errors import UserError
from mmbench.settings.effects import NotWith, OnlyWith, require_effects
from mmbench.transfer.resolution import resolve_task

# start waits for length, which waits for schedule, which waits for training.
CHAIN = {
    "start": (OnlyWith("length"),),
    "length": (OnlyWith("schedule", "rising"),),
    "schedule": (OnlyWith("training"),),
}
ALL_ON: dict[str, Any] = {"start": 0.1, "length": 5, "schedule": "rising", "training": True}


def line(values: dict[str, Any], marks: dict[str, tuple[OnlyWith, ...]], name: str) -> str:
    """The error about a stated setting."""
    with pytest.raises(UserError) as caught:
        require_effects(values, marks, [name], "a protocol")
    return str(caught.value)


def test_a_chain_that_is_on_is_taken() -> None:
    require_effects(ALL_ON, CHAIN, ALL_ON, "a protocol")


def test_what_waits_for_a_setting_without_effect_has_none() -> None:
    assert line({**ALL_ON, "schedule": "flat"}, CHAIN, "start") == (
        "setting 'start' of a protocol = 0.1: has no effect, since length has no effect with schedule=flat; "
        "omit it, or set schedule=rising"
    )
    assert line({**ALL_ON, "training": False}, CHAIN, "start") == (
        "setting 'start' of a protocol = 0.1: has no effect, since length has no effect, since schedule has "
        "no effect without training; omit it, or set training=true"
    )


def test_the_nearest_reason_is_named() -> None:
    assert "without length; omit it" in line({**ALL_ON, "length": 0, "schedule": "flat"}, CHAIN, "start")


def test_a_condition_that_holds_when_off_holds_without_effect() -> None:
    marks = {**CHAIN, "step": (OnlyWith("length", 0, 5),)}
    require_effects({**ALL_ON, "schedule": "flat", "step": 3}, marks, ["step"], "a protocol")


def test_one_of_two_conditions_is_enough() -> None:
    marks = {"norm": (OnlyWith("layers", unless=OnlyWith("masks")),)}
    require_effects({"norm": "gn", "layers": 2}, marks, ["norm"], "a protocol")
    require_effects({"norm": "gn", "layers": 0, "masks": True}, marks, ["norm"], "a protocol")
    assert "without layers; omit it, or set layers=..." in line({"norm": "gn"}, marks, "norm")


def test_a_setting_can_have_an_effect_with_all_values_but_some() -> None:
    marks = {"steps": (NotWith("head", None, "plain", instead="cascade"),)}
    require_effects({"steps": 3, "head": "of a plugin"}, marks, ["steps"], "a protocol")
    assert line({"steps": 3}, marks, "steps").endswith("without head; omit it, or set head=cascade")
    assert "with head=plain; omit it" in line({"steps": 3, "head": "plain"}, marks, "steps")


def test_a_stated_none_says_what_is_the_case() -> None:
    require_effects({"norm": "none"}, {"norm": (OnlyWith("layers"),)}, ["norm"], "a protocol")


def test_conditions_in_a_circle_end() -> None:
    circle = {"one": (OnlyWith("two"),), "two": (OnlyWith("one"),)}
    require_effects({"one": 1, "two": 1}, circle, ["one", "two"], "a protocol")


def test_keys_of_a_section_chain() -> None:
    marks = {"HEAD": (OnlyWith("masks"),), "masks": (OnlyWith("detector", "fpn"),)}
    values = {"HEAD.WIDTH": 8, "masks": True, "detector": "c4"}
    assert "since masks has no effect with detector=c4" in line(values, marks, "HEAD.WIDTH")


def test_the_start_of_a_warm_up_that_the_schedule_leaves_out_is_refused() -> None:
    with pytest.raises(UserError, match="since warmup_iterations has no effect with schedule=constant"):
        task = resolve_task(None, "dense/linear-dinov3@1", {"schedule": "constant", "warmup_start": 0.1})
        task.require_effects()
