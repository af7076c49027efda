"""Settings of dense probes that all of them share, and how one probe's own are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ValidationInfo, model_validator

from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import Count, SceneSize
from mmbench.tasks import TaskSettings, kind_of

TestMode = Literal["whole", "squash", "slide"]


class DenseProbeSettings(TaskSettings):
    """Settings of a probe on frozen feature maps.

    Attributes:
        probe: "linear" trains a linear classifier of positions; "retrieval" trains nothing and looks up the
            nearest patches of the training images.
        train_images: number of training images, drawn by the seed; None takes all.
        output_stride: of plain ResNets with a larger stride: their last stages are dilated instead of
            striding. Other networks have the stride that they have.
        test_mode: how evaluated images are fed. "whole": at their own size; "squash": resized to `test_size`
            x `test_size`; "slide": their short side resized to `test_size`, in overlapping windows of that
            size.
        test_size: side in pixels, see `test_mode`.
        test_stride: step between windows in pixels.
        scored_size: label maps and predictions are compared at this side in pixels; None compares at each
            label map's own size.
    """

    probe: Literal["linear", "retrieval"]
    train_images: Count | None = None
    output_stride: Literal[8, 16, 32] = 16
    test_mode: TestMode = "whole"
    test_size: Annotated[SceneSize | None, OnlyWith("test_mode", "squash", "slide")] = None
    test_stride: Annotated[SceneSize | None, OnlyWith("test_mode", "slide")] = None
    scored_size: SceneSize | None = None

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the settings of the probe that `values` names."""
        return kind_of(values.get("probe"), _PROBES, cls)

    @model_validator(mode="after")
    def _has_its_sizes(self, info: ValidationInfo) -> DenseProbeSettings:
        if self.test_mode != "whole" and self.test_size is None:
            raise ValueError(f"test_mode={self.test_mode} needs a size; set test_size")
        if self.test_mode == "slide" and self.test_stride is None:
            raise ValueError("test_mode=slide needs a step between windows; set test_stride")
        if self.test_stride and self.test_size and self.test_stride > self.test_size:
            raise ValueError("windows would leave gaps: test_stride must be at most test_size")
        return self


_PROBES: dict[str, type[DenseProbeSettings]] = {}
Probe = TypeVar("Probe", bound=type[DenseProbeSettings])


def settings_of(probe: str) -> Callable[[Probe], Probe]:
    """Return a decorator: the settings of this probe."""

    def decorate(kind: Probe) -> Probe:
        _PROBES[probe] = kind
        return kind

    return decorate
