"""Types of settings: each has a range, refuses values outside it, and states the range in the error.

A setting is typed `Share` or `LearningRate` instead of `float`, so that a value out of range is refused
before anything is computed, with the same message everywhere. Upper bounds far above what any method uses
catch typing errors, such as 2**40 epochs or a temperature of 1e300.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)  # of every settings model
# YAML 1.1 reads "1e-3" as text; it is accepted as a number here.
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Within:
    """Range of a number, for `Annotated[int, Within(...)]` and `Annotated[float, Within(...)]`.

    Attributes:
        low, high: the ends.
        above: whether the lower end itself is excluded.
        below: whether the upper end itself is excluded.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def words(self, whole: bool) -> str:
        """Return the range in words, such as "a finite number greater than 0 and at most 1"."""
        kind = "a whole number" if whole else "a finite number"
        if not self.above and not self.below:
            return f"{kind} from {_plain(self.low)} to {_plain(self.high)}"
        low = f"greater than {_plain(self.low)}" if self.above else f"of at least {_plain(self.low)}"
        high = f"less than {_plain(self.high)}" if self.below else f"at most {_plain(self.high)}"
        return f"{kind} {low} and {high}"

    def holds(self, value: float) -> bool:
        """Return whether `value` lies in the range; NaN does not."""
        enough = value > self.low if self.above else value >= self.low
        return enough and (value < self.high if self.below else value <= self.high)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check before pydantic converts: it would take True for 1 and "nan" for a number."""
        whole = source is int

        def check(value: Any) -> Any:
            number = _number(value)
            if number is None or not self.holds(number) or (whole and number != int(number)):
                raise PydanticCustomError("range", "must be {words}", {"words": self.words(whole)})
            return int(number) if whole else float(number)

        return core_schema.no_info_before_validator_function(check, handler(source))


def _number(value: Any) -> float | int | None:
    """Return a number given as a number or as text; None for anything else, including True and NaN."""
    if isinstance(value, str) and len(value) <= 40 and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _is_flag(value: Any) -> Any:
    if not isinstance(value, bool):
        raise PydanticCustomError("flag", "must be true or false")
    return value


class _OnlyFlags:
    """Refuses numbers and text for a Boolean."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_is_flag, handler(source))


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise PydanticCustomError("text", "must be plain text without control characters or outer spaces")
    return value


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise PydanticCustomError("order", "must be two numbers, the smaller one first")
    return value


def _increasing(value: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(value)):
        raise PydanticCustomError("order", "must be increasing")
    return value


def different(value: tuple[float, ...]) -> tuple[float, ...]:
    """Return the values if no two are the same."""
    if len(set(value)) < len(value):
        raise PydanticCustomError("repeated", "must hold different values")
    return value


LARGEST_SEED = 2**63 - 1  # the largest that torch accepts on every device
LEGACY_SEEDS = 2**32  # NumPy's old generator, used by scikit-learn, Detectron2 and mmengine, accepts fewer
SMALLEST_IMAGE, LARGEST_IMAGE = 8, 4096  # pixels a side
MOST_THREADS, MOST_WORKERS = 1024, 256
MOST_EPOCHS, MOST_ITERATIONS = 100_000, 100_000_000
MANY = 2**20


def legacy_seed(seed: int) -> int:
    """Return the seed for libraries that draw from NumPy's old generator: its lowest 32 bits."""
    return seed % LEGACY_SEEDS


Flag = Annotated[bool, _OnlyFlags()]
Text = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_printable)]
Seed = Annotated[int, Within(0, LARGEST_SEED)]
Threads = Annotated[int, Within(1, MOST_THREADS)]
Workers = Annotated[int, Within(0, MOST_WORKERS)]
Count = Annotated[int, Within(1, MANY)]
CountOrNone = Annotated[int, Within(0, MANY)]
BatchSize = Annotated[int, Within(1, MANY)]
NormedBatchSize = Annotated[int, Within(2, MANY)]  # batch norm needs two
Epochs = Annotated[int, Within(1, MOST_EPOCHS)]
Iterations = Annotated[int, Within(1, MOST_ITERATIONS)]
WarmupIterations = Annotated[int, Within(0, MOST_ITERATIONS)]
ImageSize = Annotated[int, Within(SMALLEST_IMAGE, LARGEST_IMAGE)]
SceneSize = Annotated[int, Within(16, 2 * LARGEST_IMAGE)]  # of images with objects
Width = Annotated[int, Within(2, 65536)]  # of a layer or an embedding
GridCells = Annotated[int, Within(2, 64)]  # per side of a mask
Share = Annotated[float, Within(0, 1)]
PositiveShare = Annotated[float, Within(0, 1, above=True)]
ShareBelowOne = Annotated[float, Within(0, 1, below=True)]  # momentum of SGD, dropout
Positive = Annotated[float, Within(0, 1e9, above=True)]
Factor = Annotated[float, Within(0, 1e6, above=True)]
LearningRate = Annotated[float, Within(0, 1e38, above=True)]  # what a float32 holds
WeightDecay = Annotated[float, Within(0, 1e6)]
Tolerance = Annotated[float, Within(0, 1, above=True)]
Temperature = Annotated[float, Within(0.001, 100)]
Deviation = Annotated[float, Within(0, 100)]
CropShare = Annotated[float, Within(1e-4, 1)]
CropScale = Annotated[tuple[CropShare, CropShare], AfterValidator(_ordered)]
Aspect = Annotated[float, Within(0.01, 100)]
AspectRange = Annotated[tuple[Aspect, Aspect], AfterValidator(_ordered)]
Sigma = Annotated[float, Within(0.01, 100)]
SigmaRange = Annotated[tuple[Sigma, Sigma], AfterValidator(_ordered)]
ScaleFactor = Annotated[float, Within(0.01, 100)]
ScaleRange = Annotated[tuple[ScaleFactor, ScaleFactor], AfterValidator(_ordered)]
Candidates = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=1000)]
Rates = Annotated[tuple[LearningRate, ...], Field(min_length=1, max_length=100)]
Decays = Annotated[tuple[WeightDecay, ...], Field(min_length=1, max_length=1000)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1, max_length=1000), AfterValidator(different)]
Milestones = Annotated[tuple[Iterations, ...], Field(max_length=1000), AfterValidator(_increasing)]
SceneSizes = Annotated[tuple[SceneSize, ...], Field(min_length=1, max_length=100)]


def require_within_run(milestones: tuple[int, ...], others: ValidationInfo, length: str) -> tuple[int, ...]:
    """Return milestones of which all come before the end of the run.

    A protocol's own are kept as they are where the user shortens its run (see `parse_settings`).

    Args:
        length: name of the setting with the length of the run.

    Raises:
        ValueError: the last one does not.
    """
    end = others.data.get(length)
    if milestones and end is not None and milestones[-1] >= end and _stated(others):
        raise ValueError(f"must all be less than {length} ({end}); set both, or [] for none")
    return milestones


DecayEpochs = Annotated[
    Milestones, AfterValidator(lambda value, others: require_within_run(value, others, "epochs"))
]


def require_shorter(warmup: float, others: ValidationInfo, length: str, name: str = "") -> None:
    """Check that a warm-up is not longer than the run; a protocol's own is kept, as milestones are.

    Args:
        length: name of the setting with the length of the run.
        name: of the setting, where it is not the one that is validated.

    Raises:
        ValueError: it is.
    """
    end = others.data.get(length)
    if end is not None and warmup > end and _stated(others):
        raise ValueError(
            f"{name or others.field_name} must not be longer than the run ({length} = {end}); set both"
        )


def _stated(others: ValidationInfo) -> bool:
    """Return whether the user stated this setting; without a context everything counts as stated."""
    return others.context is None or others.field_name in others.context["stated"]
