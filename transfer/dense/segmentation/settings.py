"""Settings of segmentation protocols that all heads share; see `head_settings` for those of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mmbench.records.store import first_not_finite
from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import (
    Count,
    Factor,
    Flag,
    Milestones,
    NormedBatchSize,
    PositiveShare,
    ScaleRange,
    SceneSize,
    ShareBelowOne,
    WeightDecay,
    Within,
    Workers,
    require_within_run,
)
from mmbench.tasks import TaskSettings, kind_of
from mmbench.transfer.dense.common.settings import DenseSettings
from mmbench.transfer.dense.segmentation.reserved_keys import LIBRARY_KEY, require_free

FINAL_LEARNING_RATE = 1e-4  # min_lr of mmsegmentation's schedules, configs/_base_/schedules
HeadWidth = Annotated[int, Within(4, 65536)]
Window = SceneSize | tuple[SceneSize, SceneSize]  # side of a square, or (height, width), in pixels

# Settings that records of earlier versions did not have: left out of a record where they have no effect.
LATER = (
    "head",
    "head_dilation",
    "reference_batch_size",
    "epochs",
    "fewest_iterations",
    "schedule",
    "decay_at",
    "padding",
    "fit_images",
    "resize_at_test",
    "reduce_zero_label",
    "align_corners",
    "test_mode",
    "test_crop",
    "test_stride",
    "library",
)


class SegmentationSettings(DenseSettings):
    """Settings that all heads share.

    Attributes:
        head: "fcn" (Long et al. 2015), "deeplabv3plus" (Chen et al. 2018) or "upernet" (Xiao et al. 2018), as
            mmsegmentation builds them.
        batch_size: images per iteration, over all processes.
        reference_batch_size: the batch that the learning rates, iterations, fewest_iterations, decay_at and
            warmup_iterations are written for; with another batch_size they follow the linear rule, unless
            they are stated too. None: they are used as they are.
        test_batch: images per step of the evaluation; those of another size make a step of their own.
        head_factor: the heads, which start at random, learn with this many times the learning rate.
        schedule: "poly" decays by a power of 0.9 to `final_learning_rate`; "step" falls to a tenth at each of
            `decay_at`.
        final_learning_rate: what the polynomial decay ends at, 0.0001 by default; None with steps.
        decay_at: iterations at which the learning rate falls to a tenth.
        bfloat16: compute backbone and heads in bfloat16, where the device has it; weights, logits and loss
            stay float32.
        resize: images are scaled to fit into (long, short) pixels, at evaluation too; None leaves them.
        resize_at_test: whether they are at evaluation; if not, images are evaluated at their own size.
        scale_range: range of the random factor on top of `resize` in training.
        crop: side of the square training crop in pixels, or its (height, width); smaller images are padded.
        fit_images: images whose shorter side is usually below that of `resize` are not enlarged to it: both
            it and `crop` become the median of the training images' shorter sides.
        padding: "zero" pads crops after they are normalised, as mmsegmentation 0.x does, and 1.x where the
            pipeline has no `Pad`; "black" pads with black pixels before, as 1.x does on VOC.
        largest_share: a crop is drawn again (at most ten times) while one class fills more of it than this.
        colour_jitter: mmsegmentation's PhotoMetricDistortion in training.
        reduce_zero_label: value 0 of the label maps counts neither in the loss nor in a metric, and no class
            is it (ADE20K); it may be left out where the data set says so itself.
        workers: as --workers, which goes before it.
        output_stride: of the plain ResNets, whose later stages are dilated to reach it (8 is FCN-D8).
        finest_stride: of other timm networks: their maps of this stride and coarser are read.
        head_channels: width of the head.
        dropout: share of the head's channels that are dropped before its classifier.
        align_corners: how maps and logits are resized.
        auxiliary_weight: loss weight of a second, small FCN head; 0 has none.
        auxiliary_channels: width of that head.
        test_mode: "whole" evaluates an image at once; "slide" in windows whose logits are averaged.
        test_crop: side of a window, or its (height, width).
        test_stride: pixels between windows, or (down, right).
        library: mmengine's own keys and their values, applied last.
    """

    head: Literal["fcn", "deeplabv3plus", "upernet"] = "fcn"
    batch_size: NormedBatchSize
    reference_batch_size: NormedBatchSize | None = None
    test_batch: Count = 1
    head_factor: Factor = 1.0
    schedule: Literal["poly", "step"] = "poly"
    final_learning_rate: Annotated[float, Within(0, 1e6)] | None = Field(default=None, validate_default=True)
    decay_at: Milestones = Field(default=(), validate_default=True)
    weight_decay: WeightDecay = 5e-4
    bfloat16: Flag = False
    resize: tuple[SceneSize, SceneSize] | None = None
    resize_at_test: Flag = True
    scale_range: ScaleRange = (1.0, 1.0)
    crop: Window
    fit_images: Annotated[Flag, OnlyWith("resize")] = False
    padding: Literal["zero", "black"] = "zero"
    largest_share: PositiveShare = 1.0
    colour_jitter: Flag = False
    reduce_zero_label: Flag = False
    workers: Workers | None = None
    output_stride: Literal[8, 16, 32] = 8
    finest_stride: Literal[2, 4, 8, 16, 32] = 8
    head_channels: HeadWidth
    dropout: ShareBelowOne = 0.1
    align_corners: Flag = False
    auxiliary_weight: Annotated[float, Within(0, 1e6)] = 0.0
    auxiliary_channels: Annotated[HeadWidth, OnlyWith("auxiliary_weight")] = 256
    test_mode: Literal["whole", "slide"] = "whole"
    test_crop: Window | None = None
    test_stride: Window | None = None

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the settings of the head that `values` names."""
        return kind_of(values.get("head"), _KINDS, _KINDS["fcn"])

    @classmethod
    def library_keys(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those names that are keys of mmengine's configuration, such as model.backbone.style."""
        return tuple(name for name in names if LIBRARY_KEY.fullmatch(name))

    @property
    def crop_size(self) -> tuple[int, int]:
        """The training crop as (height, width)."""
        return pair(self.crop)

    @property
    def windows(self) -> dict[str, tuple[int, int]]:
        """mmsegmentation's keys of slide inference; only where it is used."""
        assert self.test_crop is not None and self.test_stride is not None  # _has_windows
        return {"crop_size": pair(self.test_crop), "stride": pair(self.test_stride)}

    @field_validator("warmup_iterations")
    @classmethod
    def _warms_up_in_time(cls, value: int, others: ValidationInfo) -> int:
        """Refuse a warm-up as long as the run; a protocol's own is kept where the user shortens its run."""
        if _stated(others) and value >= others.data.get("iterations", value + 1):
            raise ValueError("the warm-up must be shorter than the training (iterations)")
        return value

    @field_validator("final_learning_rate")
    @classmethod
    def _decays(cls, value: float | None, others: ValidationInfo) -> float | None:
        if others.data.get("schedule") == "step":  # a protocol's own is left out where the user sets step
            if value is not None and _stated(others):
                raise ValueError(
                    "the schedule is step, which ends where it falls; set schedule=poly, or omit this"
                )
            return None
        value = FINAL_LEARNING_RATE if value is None else value
        rate = others.data.get("learning_rate", value)
        if value > rate:
            raise ValueError(f"must not be above learning_rate ({rate:g}); set both")
        return value

    @field_validator("decay_at")
    @classmethod
    def _decays_in_time(cls, value: tuple[int, ...], others: ValidationInfo) -> tuple[int, ...]:
        if others.data.get("schedule") == "poly" and value:
            raise ValueError("the schedule is poly, which has no steps; set schedule=step, or [] here")
        return require_within_run(value, others, "iterations")

    @field_validator("scale_range")
    @classmethod
    def _scales_something(cls, value: tuple[float, float], others: ValidationInfo) -> tuple[float, float]:
        if value != (1.0, 1.0) and others.data.get("resize") is None:
            raise ValueError("there is no size (resize) that it could multiply")
        return value

    @model_validator(mode="after")
    def _has_windows(self, info: ValidationInfo) -> SegmentationSettings:
        if self.test_mode == "whole":  # a protocol's windows are kept where the user evaluates whole images
            stated = ("test_crop", "test_stride") if info.context is None else info.context["stated"]
            for name in ("test_crop", "test_stride"):
                if name in stated and getattr(self, name) is not None:
                    raise ValueError(f"{name} has no effect on whole images; set test_mode=slide too")
            return self
        if self.test_crop is None or self.test_stride is None:
            raise ValueError("test_mode=slide needs both test_crop and test_stride")
        crop, stride = pair(self.test_crop), pair(self.test_stride)
        if stride[0] > crop[0] or stride[1] > crop[1]:
            raise ValueError("test_stride must not be larger than test_crop: windows would leave gaps")
        return self

    @field_validator("library")
    @classmethod
    def _leaves_the_run_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        require_free(value)
        if (where := first_not_finite(value)) is not None:
            raise ValueError(f"{where} is not a finite number")
        return value

    def remarks(self) -> tuple[str, ...]:
        """Return what differs from the protocol as it is written: the linear rule, the library's own keys."""
        found = super().remarks()
        if self.reference_batch_size not in (None, self.batch_size):
            falls = (
                f"decay_at {list(self.decay_at)}"
                if self.schedule == "step"
                else f"final_learning_rate {self.final_learning_rate or 0:g}"
            )
            found = (
                f"batch_size {self.batch_size} and not {self.reference_batch_size}: by the linear rule, "
                f"where not stated, learning_rate {self.learning_rate:g}, iterations {self.iterations}, "
                f"{falls}, warmup_iterations {self.warmup_iterations}",
                *found,
            )
        if self.library:
            changed = ", ".join(f"{name}={value}" for name, value in sorted(self.library.items()))
            found = (f"mmengine's own keys are set: {changed}", *found)
        return found

    def recorded(self) -> dict[str, Any]:
        """Return the settings as records hold them: the values in force, without later additions that have
        no effect, so that records of one configuration agree over versions.
        """
        values = self.model_dump(mode="json", exclude={"workers"})  # which change no number
        if self.reference_batch_size == self.batch_size:
            values["reference_batch_size"] = None
        fields = type(self).model_fields
        default = {
            name: fields[name].get_default(call_default_factory=True) for name in LATER if name in fields
        }
        kept = {name: value for name, value in values.items() if name not in default}
        later = {name: values[name] for name, usual in default.items() if values[name] not in (usual, [])}
        return kept | later


def _stated(info: ValidationInfo) -> bool:
    return info.context is None or info.field_name in info.context["stated"]


def pair(window: int | tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) of a window."""
    return (window, window) if isinstance(window, int) else window


_KINDS: dict[str, type[SegmentationSettings]] = {}
Kind = TypeVar("Kind", bound=type[SegmentationSettings])


def settings_of(*heads: str) -> Callable[[Kind], Kind]:
    """Return a decorator: the settings of these heads."""

    def decorate(kind: Kind) -> Kind:
        _KINDS.update(dict.fromkeys(heads, kind))
        return kind

    return decorate
