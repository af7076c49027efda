"""Types of settings, and the settings models that use them: every range, in every task and method."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from mmbench.errors import UserError, one_line
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.settings import PretrainConfig
from mmbench.settings.problems import first_problem
from mmbench.settings.types import (
    STRICT,
    Flag,
    Seed,
    Text,
    Within,
    legacy_seed,
)
from mmbench.tasks import TASKS, TaskSettings
from mmbench.transfer.command import transfer
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.resolution import parse_settings


class Sample(BaseModel):
    """One setting of each kind."""

    model_config = STRICT

    share: Annotated[float, Within(0, 1, above=True)] = 0.5
    count: Annotated[int, Within(2, 10)] = 2
    seed: Seed = 0
    flag: Flag = False
    text: Text = "a"


@given(st.floats() | st.integers() | st.fractions().map(float))
def test_a_number_is_taken_exactly_where_the_range_holds_it(value: float) -> None:
    if math.isfinite(value) and 0 < Fraction(value) <= 1:
        assert Sample(share=value).share == value
        return
    with pytest.raises(ValidationError) as refused:
        Sample(share=value)
    line = str(first_problem(refused.value, {"share": value}))
    assert line.startswith("setting share = ") and "a finite number greater than 0 and at most 1" in line


@pytest.mark.parametrize("value", [True, False, None, "x", "", "0.5x", "nan", "inf", [0.5], {"a": 1}, "0_5"])
def test_what_is_not_a_number_of_the_range_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Sample(share=value)
    line = str(first_problem(refused.value, {"share": value}))
    assert line.startswith("setting share = ") and line.isprintable() and len(line) < 200


def test_an_integer_too_long_to_print_is_refused_in_a_short_line() -> None:
    for name in ("share", "count"):
        given = {name: 10**5000}
        with pytest.raises(ValidationError) as refused:
            Sample.model_validate(given)
        assert f"setting {name} = <int that is too long to show>" in str(first_problem(refused.value, given))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 2.5),
        ("count", True),
        ("count", "010"),
        ("count", 11),
        ("count", -(10**400)),
        ("count", math.nan),
        ("seed", 2**63),
        ("seed", -1),
        ("flag", 1),
        ("flag", "yes"),
        ("text", ""),
        ("text", "a\nb"),
        ("text", "a\0"),
        ("text", "x" * 100_000),
        ("text", 3),
    ],
)
def test_other_kinds_are_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Sample.model_validate({name: value})
    line = str(first_problem(refused.value, {name: value}, prefix="a.", owner="b@1"))
    assert line.startswith(f"setting 'a.{name}' of b@1 = ")
    assert line.isprintable() and len(line) < 250


def test_numbers_as_text_are_numbers() -> None:
    """YAML 1.1 reads 1e-3 as text, and people write it."""
    assert Sample.model_validate({"share": "1e-3", "count": "3"}) == Sample(share=0.001, count=3)
    assert type(Sample.model_validate({"share": 1}).share) is float


def test_large_seeds_are_folded_for_the_old_generator_alone() -> None:
    for seed in (0, 7, 2**32 - 1):
        assert legacy_seed(seed) == seed
    assert legacy_seed(1234567890123456) == 1234567890123456 - 2**32 * 287445
    np.random.RandomState(legacy_seed(2**63 - 1))  # which refuses more than 32 bits


PRETRAIN = [
    "epochs=0",
    "epochs=1e300",
    "epochs=true",
    "seed=9223372036854775808",
    "threads=100000",
    "workers=10000",
    "image_size=1000000",
    "image_size=7",
    "batch_size=1",
    "batch_size=99999999999",
    "keep_states=0",
    "accumulation=.nan",
    "device=",
    "optimiser.lr=.nan",
    "optimiser.lr=.inf",
    "optimiser.lr=0",
    "optimiser.lr=2020-01-01",
    "optimiser.lr=1:30",
    "optimiser.momentum=1.0",
    "optimiser.weight_decay=-1",
    "optimiser.warmup_epochs=.nan",
    "optimiser.reference_batch=0",
    "augmentation.crop_scale=[0.5, 0.2]",
    "augmentation.crop_scale=[0, 1]",
    "augmentation.crop_scale=[.nan, 1]",
    "augmentation.crop_scale=[0.1, 1, 2]",
    "augmentation.crop_scale=[1e-40, 1]",
    "augmentation.crop_aspect=[1, .inf]",
    "augmentation.blur_sigma=[1e-30, 1]",
    "augmentation.hue=0.6",
    "augmentation.flip=2",
    "framework.temperature=0",
    "framework.temperature=1e-30",
    "framework.momentum=1.5",
    "framework.queue=99999999999",
    "framework.dim=1",
    "masking.grid=1000000",
    "masking.ratio=.nan",
    "batch_norm.splits=0",
    "batch_norm.shuffle=1",
    "channels_last=3",
    "trackers=[1]",
    "framework=3",
    "masking={}",
    "optimiser=[]",
    "optimiser.lr.deep=1",
    "data_root=3",
]


@pytest.mark.parametrize("setting", PRETRAIN)
def test_a_pretraining_refuses_a_value_out_of_range(setting: str) -> None:
    with pytest.raises(UserError) as refused:
        resolve_config("mixmask", overrides=[setting])
    line = str(refused.value)
    assert setting.partition("=")[0].split(".")[0] in line and line.isprintable() and len(line) < 300


def test_a_warmup_longer_than_the_pretraining_is_refused() -> None:
    with pytest.raises(UserError, match=r"warmup_epochs must not be longer than the run \(epochs = 3\)"):
        resolve_config("mixmask", epochs=3, overrides=["optimiser.warmup_epochs=3.5"])
    assert resolve_config("mixmask", epochs=3, overrides=["optimiser.warmup_epochs=3"]).epochs == 3


@pytest.mark.parametrize(
    "override", [{"method": "a\nb"}, {"framework": "moco"}, {"masking": None}, {"seed": -1}]
)
def test_a_configuration_from_python_is_checked_too(override: dict[str, Any]) -> None:
    values = {**resolve_config("moco").model_dump(), **override}
    with pytest.raises((ValidationError, UserError)):
        PretrainConfig.model_validate(values)


TRANSFER = {
    "linear/moco@1": [
        *(
            {"decay_epochs": value}
            for value in ([80, 60], [60, 60], [60, 100], [0], [1.5], 60, ["x"], [True])
        ),
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"learning_rate": True},
        {"momentum": 1},
        {"crop_scale": [1, 0.08]},
        {"crop_scale": [0, 1]},
        {"crop_scale": [0.5, 2]},
        {"batch_size": 0},
        {"batch_size": 10**30},
        {"decay_factor": 0},
        {"features": ["augmented"]},
        {"features": {}},
        {"features": 3},
    ],
    "linear/patterns@1": [
        {"weight_decays": []},
        {"weight_decays": [math.nan]},
        {"weight_decays": [-1]},
        {"weight_decays": 0.1},
        {"patience": 0},
        {"tolerance": 0},
        {"tolerance": 2},
        {"iterations": 0},
    ],
    "linear/sweep@1": [
        {"learning_rates": [-0.1]},
        {"batch_norm": []},
        {"batch_norm": [1]},
        {"batch_size": 1},
    ],
    "linear/voc07-svm@1": [{"costs": [0]}, {"folds": 1}, {"positive_weight": -1}],
    "knn/patterns@1": [
        {"neighbours": 0},
        {"neighbours": 2.5},
        {"neighbours": 10**12},
        {"neighbours": []},
        {"temperature": 0},
        {"temperature": 1e-4},
        {"temperature": math.nan},
        {"chunk": 0},
    ],
    "knn/grid@1": [{"neighbours": [1, 1]}, {"temperatures": []}, {"temperatures": [0]}],
    "logreg/lbfgs@1": [
        {"candidates": 0},
        {"weakest": 0},
        {"weakest": 1e8},
        {"strongest": 1e-20},
        {"tolerance": -1},
    ],
    "lowshot/k@1": [{"shots": []}, {"shots": [1, 1]}, {"shots": [0]}, {"draws": 0}, {"draws": 10**9}],
    "semisup/patterns-1pct@1": [
        {"fraction": 0},
        {"fraction": 1.5},
        {"fraction": math.nan},
        {"epochs": 10**9},
    ],
    "finetune/patterns@1": [
        {"crop_scale": [0.9, 0.3]},
        {"decay_epochs": [5, 100_000]},
        {"nesterov": "yes"},
        {"nesterov": True, "momentum": 0},
        {"backbone_learning_rate": -1},
    ],
    "detection/patterns@1": [
        {"warmup_iterations": 10**6},
        {"decay_at": [10**6]},
        {"decay_at": [30, 20]},
        {"max_size": 50},
        {"test_size": 8},
        {"test_size": 2000},
        {"train_sizes": []},
        {"train_sizes": [0]},
        {"c4_anchor_sizes": []},
        {"c4_anchor_sizes": [0]},
        {"c4_anchor_sizes": [32, 32]},
        {"pyramid_anchor_scales": [-1]},
        {"pyramid_anchor_scales": [math.inf]},
        {"train_proposals": [1]},
        {"test_proposals": [0, 0]},
        {"rpn_batch": 1},
    ],
    "segmentation/patterns@1": [
        {"warmup_iterations": 10**6},
        {"resize": [1, 1]},
        {"crop": 10**6},
        {"scale_range": [2, 0.5]},
        {"dropout": 1},
        {"largest_share": 0},
        {"workers": 10_000},
        {"head_channels": 10**9},
    ],
}


@pytest.mark.parametrize(
    ("protocol", "override"), [(name, override) for name, values in TRANSFER.items() for override in values]
)
def test_a_task_refuses_a_value_out_of_range(protocol: str, override: dict[str, Any]) -> None:
    found = get_protocol(protocol)
    with pytest.raises(UserError) as refused:
        parse_settings(TASKS.get(found.task).settings, found, override)
    line = str(refused.value)
    assert protocol in line and line.isprintable() and len(line) < 300


@pytest.mark.parametrize(
    ("protocol", "override", "remark"),
    [
        ("linear/moco@1", {"epochs": 70}, "decay_epochs [80] lie beyond the run (epochs 70)"),
        ("linear/moco-sweep@1", {"epochs": 5}, "decay_epochs [60, 80] lie beyond"),
        ("semisup/1pct@1", {"epochs": 12}, "decay_epochs [12, 16] lie beyond"),
        (
            "detection/voc-c4-24k@1",
            {"iterations": 50},
            "decay_at [18000, 22000] lie beyond the run (iterations 50)",
        ),
        ("detection/patterns@1", {"iterations": 5}, "the warm-up (15) is longer than the run (iterations 5)"),
    ],
)
def test_a_run_that_is_made_shorter_keeps_the_schedule_and_the_record_says_so(
    protocol: str, override: dict[str, Any], remark: str
) -> None:
    found = get_protocol(protocol)
    model = TASKS.get(found.task).settings
    assert parse_settings(model, found, {}).remarks() == ()
    assert any(remark in line for line in parse_settings(model, found, override).remarks())


def _models(base: type[BaseModel]) -> list[type[BaseModel]]:
    return [base, *(found for child in base.__subclasses__() for found in _models(child))]


def test_no_number_of_any_task_is_without_a_range() -> None:
    """A new setting typed `int` or `float` alone would take NaN, or a value that nothing can compute with."""
    TASKS.names()
    resolve_config("mixmask")
    bare = {int, float, bool, int | None, float | None}
    for model in [*_models(TaskSettings), PretrainConfig]:
        if model.__module__.startswith("mmbench"):
            for name, field in model.model_fields.items():
                assert field.annotation not in bare or field.metadata, f"{model.__name__}.{name}"


@pytest.mark.parametrize("text", ["", "1,", "1,1", "-1", "1.5", "9" * 5000, str(2**63), "٣", "0x1", "1,01"])
def test_seeds_that_no_generator_takes_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        transfer.make_context("transfer", ["--seeds", text])
    assert len(one_line(refused.value.format_message(), 300)) <= 300
