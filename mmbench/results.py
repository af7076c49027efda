"""Result: one measurement, typed, versioned, written once. ResultStore: a folder of them."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from mmbench.checkpoints.card import ModelCard
from mmbench.compute_time import ComputeTime
from mmbench.environment import Provenance
from mmbench.errors import UserError
from mmbench.files import safe_name, write_json
from mmbench.formatting import Unit
from mmbench.image_outcomes import ImageOutcomes
from mmbench.verification import DIGEST, is_damaged, with_digest

SCHEMA_VERSION = 1
CUSTOM = "+custom"  # ends the protocol of a record that a library's own keys changed
DAMAGED = "damaged: its digest differs from its content"


def _no_boolean(value: Any) -> Any:
    """Refuse True and False, which pydantic would read as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers")
    return value


# Neither NaN nor infinite: such a number would be written as null, or be averaged into others.
Finite = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Percent = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False, ge=0, le=100)]
Count = Annotated[int, BeforeValidator(_no_boolean), Field(ge=1)]


class Metric(BaseModel):
    """One finite number, in percent (0-100) unless `unit` says otherwise; n counts what it averages over.

    Attributes:
        interval: 95% interval of the value over the evaluated images, low and high, where one was computed;
            how is said in the record's notes. Absent in older records.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Finite
    higher_is_better: bool
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
    def _interval_is_ordered(self) -> Metric:
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError(f"the interval {self.interval} is not ordered")
        return self

    @model_validator(mode="after")
    def _percent_is_a_share(self) -> Metric:
        if self.unit == "percent" and not 0 <= self.value <= 100:
            raise ValueError(f"{self.value!r} is not a percentage from 0 to 100")
        return self


class DatasetReference(BaseModel):
    """Which data, exactly: name, fingerprint, and how many images each used split holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    fingerprint: str
    split_sizes: dict[str, int]
    evaluated_split: str = "test"


class LabelSubset(BaseModel):
    """Which labels a run with few of them saw.

    Attributes:
        used: distinct labelled images that took part in training, counted in the run.
        available: labelled training images in all.
        source: how they were chosen, such as "class-balanced, drawn with seed 0".
        sha256: of the chosen indices, as sorted 64-bit little-endian integers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    used: int = Field(gt=0)
    available: int
    source: str
    sha256: str


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

    schema_version: Literal[1] = 1
    created: datetime.datetime = Field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    model: ModelCard
    task: str = Field(pattern=r"^[a-z0-9_]{1,40}$")
    dataset: DatasetReference
    protocol: str = Field(pattern=r"^[a-z0-9_]+/[a-z0-9_.-]+@[0-9]+(\+custom)?$")
    metrics: dict[str, Metric]
    primary_metric: str
    seed: int
    config: dict[str, Any]
    effective_lr: Finite | None = None
    provenance: Provenance
    wall_seconds: Annotated[Finite, Field(ge=0)]
    images_per_second: Annotated[Finite, Field(ge=0)] | None = None
    per_class: dict[str, Percent] | None = None
    labels: LabelSubset | None = None
    framing: str | None = None
    receipt_id: str | None = None
    weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    compute: ComputeTime | None = None
    outcomes: ImageOutcomes | None = None
    notes: tuple[str, ...] = ()

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
    def _settings_are_finite(self) -> Result:
        if (name := first_not_finite(self.config)) is not None:
            raise ValueError(f"setting {name} is not a finite number")
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


class ResultStore:
    """A folder of records; a record's path is its identity, so the same run is never counted twice."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(
        self, card: ModelCard, protocol: str, dataset: DatasetReference, config: dict[str, Any], seed: int
    ) -> Path:
        """Return where the record of this model, protocol, data, configuration and seed lives.

        Names come from files of others; whatever they are, the path stays below the root.
        """
        slug = protocol.replace("/", "-")
        identity = f"{safe_name(card.arm)}-{card.digest}-{config_digest(config)}-seed{seed}.json"
        return self.root / f"{safe_name(dataset.name)}-{safe_name(dataset.fingerprint[:8])}" / slug / identity

    def write(self, result: Result) -> Path:
        """Write the record atomically, with a digest of its content, and return its path."""
        path = self.path_of(result.model, result.protocol, result.dataset, result.config, result.seed)
        write_json(path, with_digest(json.loads(result.model_dump_json())))
        return path

    def items(self) -> Iterator[tuple[Path, Result]]:
        """Yield (path, record) for every record below the root in the order of their paths.

        Hidden files are left out: a record that another process is writing has a hidden name.

        Raises:
            UserError: a file is not a record of a schema version that is read here.
        """
        for path in self._paths():
            yield path, read_result(path)

    def read_all(self) -> tuple[list[tuple[Path, Result]], list[UserError]]:
        """Return (path, record) for every record, as `items` yields them, and an error per other file."""
        found: list[tuple[Path, Result]] = []
        invalid: list[UserError] = []
        for path in self._paths():
            try:
                found.append((path, read_result(path)))
            except UserError as error:
                invalid.append(error)
        return found, invalid

    def _paths(self) -> Iterator[Path]:
        for path in sorted(self.root.rglob("*.json")):
            if path.is_file() and not path.name.startswith("."):
                yield path

    def __iter__(self) -> Iterator[Result]:
        """Yield every record below the root; see `items`."""
        for _, result in self.items():
            yield result


def read_result(path: Path) -> Result:
    """Read one record.

    Raises:
        UserError: the file is missing, is not JSON, is damaged, or is not a record of schema version 1.
    """
    try:
        return Result.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no result record at {path}; check the path") from None
    except (ValidationError, UnicodeDecodeError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        if DAMAGED in reason["msg"]:
            raise UserError(f"{path} is {DAMAGED}; restore it, or delete it and measure it again") from None
        where = ".".join(str(part) for part in reason["loc"]) or "the file"
        raise UserError(
            f"{path} is not a result record of schema version {SCHEMA_VERSION}: {where}: {reason['msg']}; "
            "move it out of the results folder"
        ) from None
