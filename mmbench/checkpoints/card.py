"""ModelCard: what is known about a set of weights, and where each fact came from."""

from __future__ import annotations

import hashlib
from numbers import Integral
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from mmbench.compute_time import ComputeTime
from mmbench.records.fields import (
    MOST_ENTRIES,
    Count,
    CountOrNone,
    Digest,
    Duration,
    Finite,
    Flag,
    Name,
    Seed,
    Text,
)
from mmbench.settings.types import LARGEST_IMAGE
from mmbench.verification import DIGEST, is_damaged

WEIGHTS = "weights_sha256"  # field of card.json: the SHA-256 of the weights' file beside it
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Origin of a crop_pct that describes the pretraining's own images; it says nothing about other images.
OWN_IMAGES = "the pretraining's own images"
CONTROL_FORMATS = ("random", "pixels")
# Older cards do not have them.
LATER_FACTS = ("pretrain_compute", "pretrain_processes", "precision", "recipe", "recipe_digest")


class HighPass(BaseModel):
    """The high-pass filter x - GaussianBlur(x) that MSCN-style weights expect at train and test time.

    `kernel_size` (odd) and `sigma` are in pixels of the image at the size the network sees.
    Source: Chin et al., arXiv 2309.12757 (kernel 11, sigma 5 at 224 px).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kernel_size: int = Field(strict=True, ge=1, le=1001)
    sigma: Finite = Field(gt=0)

    @field_validator("kernel_size")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"a kernel has an odd size, not {value}")
        return value


class Preprocessing(BaseModel):
    """What is done to an RGB image in [0, 1] before the backbone sees it; it travels with the weights.

    `image_size` is in pixels. `crop_pct` is timm's word for the share of the resized short side that is seen
    in evaluation: the short side is resized to image_size / crop_pct px, and the middle square of image_size
    px is cut out. None where the weights do not state it: the images then decide.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[Finite, Finite, Finite] = IMAGENET_MEAN
    std: tuple[Finite, Finite, Finite] = IMAGENET_STD
    high_pass: HighPass | None = None
    image_size: int = Field(default=224, strict=True, ge=1, le=LARGEST_IMAGE)
    crop_pct: Finite | None = Field(default=None, gt=0, le=1)

    @field_validator("image_size", mode="before")
    @classmethod
    def _of_any_library(cls, value: Any) -> Any:
        """Take NumPy's whole numbers as Python's."""
        return int(value) if type(value) is not bool and isinstance(value, Integral) else value

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what older cards did not have, so that their digest stays what it was."""
        values: dict[str, Any] = serialise(self)
        if self.crop_pct is None:
            values.pop("crop_pct", None)
        return values


class ModelCard(BaseModel):
    """The frozen facts of one checkpoint.

    Attributes:
        arm: the name under which the leaderboard groups seeds, such as "mixmask" or "random".
        method: name of the method, such as "mixmask"; None where the file does not state it.
        framework: how views are compared ("moco", ...); None where unknown.
        masking: how a view is corrupted ("mixmask", "erase", "mscn", "none"); None where unknown.
        arch: timm name of the backbone.
        arch_options: how the network is built where names and shapes do not determine it, such as
            {"stem_padding": 2}; empty for the architecture as it is registered.
        pretrain_data: name of the pretraining data set.
        pretrain_fingerprint: its fingerprint, where known.
        epochs: pretraining epochs; 0 for random weights.
        seed: seed of the pretraining run.
        pretrain_seconds: wall time of the pretraining, where known.
        pretrain_compute: its processor or GPU time, where known.
        pretrain_processes: how many processes shared its batches, where known.
        precision: number format of the pretraining ("float32", "bfloat16", "float16"), where known; both
            where it went on in another ("bfloat16 and float32").
        recipe: id of the recipe, such as "mixmask-cifar100@1", where the pretraining followed one.
        recipe_digest: of every setting of the pretraining that changes its weights, without the seed.
        preprocessing: what images need before this backbone.
        source_format: name of the checkpoint format, "run" for our own, "random" and "pixels" for controls.
        source_sha256: SHA-256 of the file that the weights were read from.
        origins: for each fact above that is not obvious, where it came from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: Name
    arch: Text
    arch_options: dict[Name, Flag | CountOrNone] = Field(default_factory=dict, max_length=MOST_ENTRIES)
    method: Name | None = None
    framework: Name | None = None
    masking: Name | None = None
    pretrain_data: Text | None = None
    pretrain_fingerprint: Name | None = None
    epochs: CountOrNone | None = None
    seed: Seed | None = None
    pretrain_seconds: Duration | None = None
    pretrain_compute: ComputeTime | None = None
    pretrain_processes: Count | None = None
    precision: Name | None = None
    recipe: Text | None = None
    recipe_digest: Digest | None = None
    preprocessing: Preprocessing = Preprocessing()
    source_format: Text | None = None
    source_sha256: Digest | None = None
    origins: dict[Name, Text] = Field(default_factory=dict, max_length=MOST_ENTRIES)

    @model_validator(mode="before")
    @classmethod
    def _is_what_was_written(cls, values: Any) -> Any:
        """Compare the content of a card.json with its digest, and leave out what only the file needs."""
        if is_damaged(values):
            raise ValueError("damaged: its digest differs from its content")
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if name not in (DIGEST, WEIGHTS)}
        return values

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what older cards did not have, so that their digest stays what it was."""
        values: dict[str, Any] = serialise(self)
        if not self.arch_options:
            values.pop("arch_options", None)
        for name in LATER_FACTS:
            if values.get(name) is None:
                values.pop(name, None)
        return values

    @property
    def control(self) -> bool:
        """Whether nothing was pretrained: random weights or raw pixels."""
        return self.source_format in CONTROL_FORMATS

    @property
    def digest(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the card's JSON: the card's identity."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]
