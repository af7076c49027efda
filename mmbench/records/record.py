"""Result: one measurement, typed, versioned, checked when it is written and when it is read."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mmbench.checkpoints.card import ModelCard
from mmbench.compute_time import ComputeTime
from mmbench.environment import Provenance
from mmbench.formatting import Unit
from mmbench.records.fields import (
    MOST_CLASSES,
    MOST_ENTRIES,
    Count,
    CountOrNone,
    Date,
    Digest,
    Duration,
    Finite,
    Flag,
    Name,
    Percent,
    Rate,
    Seed,
    Settings,
    Text,
)
from mmbench.records.image_outcomes import ImageOutcomes
from mmbench.verification import DIGEST, is_damaged

SCHEMA_VERSION = 1
CUSTOM = "+custom"  # ends the protocol of a record that a library's own keys changed
DAMAGED = "damaged: its digest differs from its content"


def _is_known(version: int) -> int:
    if version != SCHEMA_VERSION:
        raise PydanticCustomError("version", "is not {known}", {"known": SCHEMA_VERSION})
    return version


class Metric(BaseModel):
    """One finite number, in percent (0-100) unless `unit` says otherwise; n counts what it averages over.

    Attributes:
        interval: 95% interval of the value over the evaluated images, low and high, where one was computed;
            how is said in the record's notes. Absent in older records.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Finite
    higher_is_better: Flag
    n: Count = Field(description="images (or instances) that the metric was computed on")
    unit: Unit = "percent"
    interval: tuple[Finite, Finite] | None = None

    @model_serializer(mode="wrap")
    def _without_absent_interval(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what older records did not have, so that those come back as they were written."""
        values: dict[str, Any] = serialise(self)
        if values.get("interval") is None:
            values.pop("interval", None)
        return values

    @model_validator(mode="after")
    def _percentages_are_shares(self) -> Metric:
        interval = () if self.interval is None else self.interval
        if interval and interval[0] > interval[1]:
            raise ValueError(f"the interval {self.interval} is not ordered")
        for number in (self.value, *interval) if self.unit == "percent" else ():
            if not 0 <= number <= 100:
                raise ValueError(f"{number!r} is not a percentage from 0 to 100")
        return self


class DatasetReference(BaseModel):
    """Which data, exactly: name, fingerprint, and how many images each used split holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    fingerprint: Name
    split_sizes: dict[Name, CountOrNone] = Field(max_length=MOST_ENTRIES)
    evaluated_split: Name = "test"


class LabelSubset(BaseModel):
    """Which labels a run with few of them saw.

    Attributes:
        used: distinct labelled images that took part in training, counted in the run.
        available: labelled training images in all.
        source: how they were chosen, such as "class-balanced, drawn with seed 0".
        sha256: of the chosen indices, as sorted 64-bit little-endian integers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    used: Count
    available: CountOrNone
    source: Text
    sha256: Digest


class Result(BaseModel):
    """One finished transfer run. Never edited: a new measurement is a new record.

    Attributes:
        model: the card of the weights; `model.arm` is the row of the leaderboard.
        protocol: versioned id such as "linear/patterns@1"; it ends in "+custom" where keys of the library's
            own configuration were changed.
        metrics: by name, such as "top1", "AP50", "mIoU".
        primary_metric: the one that ranks.
        seed: seed of the transfer run (the pretraining seed is in the card).
        config: every resolved setting of the protocol.
        effective_lr: the learning rate in force after every scaling rule; None for lr-free tasks.
        per_class: class -> percent, where classes are distinguished: accuracy, AP or IoU; absent in older
            records.
        labels: which labels were used, where that is less than all; absent in older records.
        framing: how images became what was fed, such as "28 px files, fed whole at 32 px"; absent in older
            records and where scenes are used.
        receipt_id: id of the conversion receipt, where a conversion took part.
        weights_sha256: of the network and its tensors, whatever file they came from; absent in older records.
        compute: processor or GPU time of the run; absent in older records.
        outcomes: the per-image outcomes beside the record; absent in older records.
        notes: facts a reader must know, such as "BN statistics recalibrated on train".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Annotated[int, Strict(), AfterValidator(_is_known)] = SCHEMA_VERSION
    created: Date = Field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    model: ModelCard
    task: str = Field(pattern=r"^[a-z0-9_]{1,40}$")
    dataset: DatasetReference
    protocol: str = Field(pattern=r"^[a-z0-9_]{1,40}/[a-z0-9_.-]{1,100}@[0-9]{1,9}(\+custom)?$")
    metrics: dict[Name, Metric] = Field(min_length=1, max_length=MOST_ENTRIES)
    primary_metric: Name
    seed: Seed
    config: Settings
    effective_lr: Finite | None = None
    provenance: Provenance
    wall_seconds: Duration
    images_per_second: Rate | None = None
    per_class: dict[Text, Percent] | None = Field(default=None, max_length=MOST_CLASSES)
    labels: LabelSubset | None = None
    framing: Text | None = None
    receipt_id: Name | None = None
    weights_sha256: Digest | None = None
    compute: ComputeTime | None = None
    outcomes: ImageOutcomes | None = None
    notes: tuple[Text, ...] = Field(default=(), max_length=MOST_ENTRIES)

    @model_validator(mode="wrap")
    @classmethod
    def _is_what_was_written(cls, values: Any, validate: ModelWrapValidatorHandler[Result]) -> Result:
        """Compare a record with the digest of its content; records of older versions have none."""
        inside = isinstance(values, dict) and DIGEST in values
        rest = {name: value for name, value in values.items() if name != DIGEST} if inside else values
        found = validate(rest)  # first: it says which value cannot be right
        if is_damaged(values):
            raise ValueError(DAMAGED)
        return found

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what records before it did not have, so that those come back as they were written."""
        values: dict[str, Any] = serialise(self)
        for name in ("per_class", "labels", "framing", "weights_sha256", "compute", "outcomes"):
            if values.get(name) is None:
                values.pop(name, None)
        return values

    @model_validator(mode="after")
    def _primary_is_measured(self) -> Result:
        if self.primary_metric not in self.metrics:
            raise ValueError(f"primary metric '{self.primary_metric}' is not among {sorted(self.metrics)}")
        return self

    @model_validator(mode="after")
    def _labels_are_counted(self) -> Result:
        if self.labels is not None and self.labels.used != self.dataset.split_sizes.get("train"):
            raise ValueError(f"{self.labels.used} labels used, but train is {self.dataset.split_sizes}")
        return self


def first_not_finite(value: Any, name: str = "") -> str | None:
    """Return the dotted name of the first NaN or infinity inside plain YAML values; None if there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else name
    parts: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        parts = list(value.items())
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    found = (first_not_finite(part, f"{name}.{key}".lstrip(".")) for key, part in parts)
    return next((where for where in found if where is not None), None)


def config_digest(config: dict[str, Any]) -> str:
    """Return 8 hexadecimal digits that identify a resolved configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:8]
