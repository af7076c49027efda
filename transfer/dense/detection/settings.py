"""Settings of detection protocols that all detectors share; see `detector_settings` for those of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mmbench.errors import shown
from mmbench.records.store import first_not_finite
from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import (
    BatchSize,
    Factor,
    Flag,
    Milestones,
    SceneSize,
    SceneSizes,
    WarmupIterations,
    WeightDecay,
    Within,
    require_within_run,
)
from mmbench.tasks import TaskSettings, kind_of
from mmbench.transfer.dense.common.settings import DenseSettings
from mmbench.transfer.dense.detection.key_effects import EFFECTS, SCHEDULER, STEPS
from mmbench.transfer.dense.detection.key_values import require_known, require_range
from mmbench.transfer.dense.detection.reserved_keys import require_free

# "syncbn" is torch's SyncBatchNorm in several processes and batch norm in one; "naive_syncbn" is Detectron2's
# own, as in the last configurations of MoCo; "bn" never synchronises.
BackboneNorm = Literal["bn", "syncbn", "naive_syncbn", "frozen_bn"]

# COCO's are 0.025 (eyes) to 0.107 (hips); with 1, half an object's size away still counts by 97%.
Sigma = Annotated[float, Within(0.001, 1)]
LIBRARY_KEY = re.compile(r"[A-Z][A-Z0-9_]*(\.[A-Z0-9_]+)*", re.ASCII)
# Settings that records of earlier versions did not have: left out of a record where they have no effect.
LATER = (
    "reference_batch_size",
    "epochs",
    "fewest_iterations",
    "test_max_size",
    "freeze_at",
    "backbone_norm",
    "evaluation",
    "keypoint_sigmas",
    "library",
)


class DetectionSettings(DenseSettings):
    """Settings that all detectors share; names in capitals are Detectron2's own.

    Attributes:
        detector: "c4" is MoCo's ResNet C4 with an extra norm after res5; "fpn" is Faster or Mask R-CNN on
            Detectron2's FPN; "keypoint" adds its keypoint head; "retinanet" has one stage; "pyramid" takes
            the stages of any timm ConvNet, under a light FPN where there are several; "auto" takes c4 for
            the plain ResNets of 18 to 101 layers, else the pyramid.
        masks: train and measure instance masks too (Mask R-CNN).
        reference_batch_size: the batch that learning_rate, iterations, fewest_iterations, decay_at and
            warmup_iterations are written for; with another batch_size they follow the linear rule, unless
            they are stated too. None: they are used as they are.
        backbone_lr_factor: factor on the learning rate of what was loaded from the checkpoint.
        decay_at: iterations at which the learning rate falls to a tenth.
        train_sizes: lengths of the shorter side in pixels; one is drawn per training image.
        test_size: the same at evaluation.
        max_size: upper bound of the longer side.
        test_max_size: the same at evaluation, where it differs.
        precise_bn_iterations: batches over which batch-norm statistics are averaged anew after the
            training (TEST.PRECISE_BN); 0 keeps the running averages.
        freeze_at: stages that stay as they were loaded, from the stem on (BACKBONE.FREEZE_AT): 1 the stem,
            2 also res2, up to 5, the whole backbone; of timm's feature maps 0 or 5.
        backbone_norm: of the backbone, and of C4's extra norm (RESNETS.NORM).
        evaluation: "coco" is COCO's average precision over 101 points of recall; "voc2007" is that of
            Detectron2's PascalVOCDetectionEvaluator over 11 points, which ignores difficult objects.
        keypoint_sigmas: tolerance of each keypoint in COCO's similarity (OKS), in the order of the data set's
            keypoints; () takes COCO's for its 17, and 1/K for each of K others.
        library: Detectron2's own keys and their values, applied last.
    """

    library_effects: ClassVar[Mapping[str, tuple[OnlyWith, ...]]] = EFFECTS

    detector: Literal["auto", "c4", "pyramid", "fpn", "keypoint", "retinanet"] = "auto"
    masks: Flag = False
    reference_batch_size: BatchSize | None = None
    backbone_lr_factor: Annotated[Factor, OnlyWith("freeze_at", 0, 1, 2, 3, 4)] = 1.0
    weight_decay: WeightDecay = 1e-4
    decay_at: Annotated[Milestones, OnlyWith(SCHEDULER, *STEPS)] = ()
    warmup_iterations: WarmupIterations = 100
    train_sizes: SceneSizes
    test_size: SceneSize
    max_size: SceneSize = Field(default=1333, validate_default=True)
    test_max_size: SceneSize | None = None
    precise_bn_iterations: WarmupIterations = 0
    freeze_at: Annotated[int, Within(0, 5)] = 0
    backbone_norm: BackboneNorm = "syncbn"
    evaluation: Literal["coco", "voc2007"] = "coco"
    keypoint_sigmas: Annotated[tuple[Sigma, ...], OnlyWith("detector", "keypoint")] = ()

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the settings of the detector that `values` names."""
        return kind_of(values.get("detector"), _KINDS, _KINDS["auto"])

    @classmethod
    def library_keys(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those names that are keys of Detectron2's configuration, such as MODEL.RPN.NMS_THRESH."""
        return tuple(name for name in names if LIBRARY_KEY.fullmatch(name))

    @property
    def keypoints(self) -> bool:
        """Whether keypoints are trained and measured."""
        return self.detector == "keypoint"

    @field_validator("decay_at")
    @classmethod
    def _decays_in_time(cls, value: tuple[int, ...], others: ValidationInfo) -> tuple[int, ...]:
        return require_within_run(value, others, "iterations")

    @field_validator("max_size")
    @classmethod
    def _holds_the_other_sizes(cls, value: int, others: ValidationInfo) -> int:
        largest = max((*others.data.get("train_sizes", ()), others.data.get("test_size", 0)))
        if value < largest:
            raise ValueError(f"must not be less than train_sizes and test_size (at most {largest}); set both")
        return value

    @field_validator("library")
    @classmethod
    def _leaves_the_run_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not LIBRARY_KEY.fullmatch(name):
                raise ValueError(f"{shown(name)} is not a key of Detectron2, such as MODEL.RPN.NMS_THRESH")
        require_free(value, cls.model_fields)
        require_known(value)
        if (where := first_not_finite(value)) is not None:
            raise ValueError(f"{where} is not a finite number")
        return value

    @model_validator(mode="after")
    def _draws_sizes(self) -> DetectionSettings:
        require_range(self.library, self.train_sizes)
        return self

    def length_note(self, images: int) -> str | None:
        """Return the note on a length that follows from the number of training images, if it does."""
        note, used = super().length_note(images), self.effective(images)
        if note is None:
            return None
        return f"{note}; decay_at {list(used.decay_at)}, warmup_iterations {used.warmup_iterations}"

    def remarks(self) -> tuple[str, ...]:
        """Return what differs from the protocol as it is written: the linear rule, the library's own keys."""
        found = super().remarks()
        if self.reference_batch_size not in (None, self.batch_size):
            found = (
                f"batch_size {self.batch_size} and not {self.reference_batch_size}: by the linear rule, "
                f"where not stated, learning_rate {self.learning_rate:g}, iterations {self.iterations}, "
                f"decay_at {list(self.decay_at)}, warmup_iterations {self.warmup_iterations}",
                *found,
            )
        if self.library:
            changed = ", ".join(f"{name}={value}" for name, value in sorted(self.library.items()))
            found = (f"Detectron2's own keys are set: {changed}", *found)
        return found

    def recorded(self) -> dict[str, Any]:
        """Return the settings as records hold them: the values in force, without later additions that have
        no effect, so that records of one configuration agree over versions.
        """
        values = self.model_dump(mode="json")
        default = {
            name: type(self).model_fields[name].get_default(call_default_factory=True) for name in LATER
        }
        return {
            name: value
            for name, value in values.items()
            if name not in LATER or value not in (default[name], [])
        }


_KINDS: dict[str, type[DetectionSettings]] = {}
Kind = TypeVar("Kind", bound=type[DetectionSettings])


def settings_of(*detectors: str) -> Callable[[Kind], Kind]:
    """Return a decorator: the settings of these detectors."""

    def decorate(kind: Kind) -> Kind:
        _KINDS.update(dict.fromkeys(detectors, kind))
        return kind

    return decorate
