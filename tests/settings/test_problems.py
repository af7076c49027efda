"""The line about a refused setting: its name as a person writes it, whatever kinds its value may be of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from mmbench.errors import UserError
from mmbench.settings.problems import first_problem
from mmbench.settings.types import STRICT, ScaleRange, SceneSize, Text, Within
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings, Window
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.resolution import parse_settings

SMALL = Annotated[int, Within(1, 9)]


def _even(value: int) -> int:
    if value % 2:
        raise PydanticCustomError("even", "must be even")
    return value


class One(BaseModel):
    model_config = STRICT
    number: SMALL
    rate: float = Field(default=-1.0, ge=0, validate_default=True)


class Two(BaseModel):
    model_config = STRICT
    text: str
    other: int = 0

    @model_validator(mode="after")
    def _fits(self) -> Two:
        if self.other > 5:
            raise ValueError("other is above five")
        return self


class Sample(BaseModel):
    """Unions and validators of every sort."""

    model_config = STRICT

    window: Window | None = None
    many: list[SMALL | tuple[SMALL, SMALL]] = []
    table: dict[Text, SMALL | list[SMALL]] = {}
    choice: Literal["all"] | Annotated[SMALL, AfterValidator(_even)] = "all"
    part: One | Two | None = None
    parts: list[Two | SMALL] = []
    scale: ScaleRange | SceneSize | None = None
    nested: dict[str, list[dict[str, SMALL | Literal["none"]]]] = {}


RANGE, WINDOW = "must be a whole number from 1 to 9", "must be a whole number from 16 to 8192"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"window": [1, 40]}, f"setting window.0 = 1: {WINDOW}"),
        ({"window": [40, "x"]}, f"setting window.1 = 'x': {WINDOW}"),
        ({"window": 5}, f"setting window = 5: {WINDOW} or must be a list"),
        ({"window": "int"}, f"setting window = 'int': {WINDOW} or must be a list"),
        ({"window": {}}, f"setting window = {{}}: {WINDOW} or must be a list"),
        ({"window": {"int": 3}}, f"setting window = {{'int': 3}}: {WINDOW} or must be a list"),
        ({"many": [3, [1, 2], [1, 0]]}, f"setting many.2.1 = 0: {RANGE}"),
        ({"many": [3, 0]}, f"setting many.1 = 0: {RANGE} or must be a list"),
        ({"table": {"int": [2], "b": [3, 0]}}, f"setting table.b.1 = 0: {RANGE}"),
        ({"choice": "some"}, f"setting choice = 'some': must be 'all' or {RANGE}"),
        ({"choice": 3}, "setting choice = 3: must be 'all' or must be even"),
        ({"parts": [{"text": "a", "other": "b"}]}, "setting parts.0.other = 'b': must be a valid integer, "),
        (
            {"parts": [{"text": "a", "other": 6}]},
            "setting parts.0 = {'text': 'a', 'other': 6}: other is above",
        ),
        ({"part": {"number": 0, "rate": 0}}, f"setting part.number = 0: {RANGE}"),
        ({"parts": [{"other": 1}]}, "setting parts.0.text is missing"),
        ({"parts": [{"text": "a", "more": 1}]}, "there is no setting parts.0.more"),
        ({"part": {"number": 1}}, "setting part.rate = -1.0: must be greater than or equal to 0"),
        ({"scale": [2.0, 1.0]}, "setting scale = [2.0, 1.0]: must be two numbers, the smaller one first or "),
        ({"scale": ["a", 1.0]}, "setting scale.0 = 'a': must be a finite number from 0.01 to 100"),
        (
            {"nested": {"a": [{"b": "none"}, {"int": 0}]}},
            f"setting nested.a.1.int = 0: {RANGE} or must be 'none'",
        ),
    ],
)
def test_the_name_is_that_of_the_value_which_is_wrong(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Sample.model_validate(given)
    assert str(first_problem(refused.value, given)).startswith(line)


def test_the_first_of_several_wrong_settings_is_named() -> None:
    given = {"window": 5, "many": [0], "choice": 3}
    with pytest.raises(ValidationError) as refused:
        Sample.model_validate(given)
    line = str(first_problem(refused.value, given, prefix="a.", owner="b@1"))
    assert line == f"setting 'a.window' of b@1 = 5: {WINDOW} or must be a list"


@pytest.mark.parametrize(("crop", "name", "value"), [([1, 40], "crop.0", "1"), ("x", "crop", "'x'")])
def test_a_window_of_segmentation_is_refused_by_its_own_name(crop: Any, name: str, value: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_settings(SegmentationSettings, get_protocol("segmentation/patterns@1"), {"crop": crop})
    assert str(refused.value).startswith(f"setting '{name}' of segmentation/patterns@1 = {value}: {WINDOW}")
    assert "[" not in str(refused.value) and "function" not in str(refused.value)
