"""Settings of the retrieval probe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import Count, ScaleRange, SceneSize, Temperature, Within
from mmbench.transfer.dense.probes.settings import DenseProbeSettings, settings_of

MOST_PATCHES = 2**34  # more than any memory holds
STRONGEST_JITTER = 0.5  # of torchvision's hue
OnCrops = OnlyWith("augmentation", "resized-crop")


@settings_of("retrieval")
class RetrievalSettings(DenseProbeSettings):
    """Settings of a memory of training patches, and of the transfer of their labels.

    Attributes:
        memory_size: patches that the memory may hold; every image, as often as it is drawn, gives the same
            share of it. None keeps every patch.
        memory_type: how the memory stores features. Similarities are computed in float32 in any case.
        neighbours: nearest patches of the memory whose labels are transferred to a patch.
        temperature: similarities are divided by it before the softmax that weights the neighbours.
        augmentation: "none" feeds training images as evaluated ones; "resized-crop" is torchvision's
            RandomResizedCrop.
        epochs: how often every training image is drawn, with another augmentation each time.
        crop: side in pixels of a crop.
        crop_scale: range of a crop's area, as a share of the image; crops larger than the image are drawn
            again, as torchvision does.
        jitter: strength by which brightness, contrast, saturation and hue of a crop are changed, each half of
            the time; 0 changes nothing.
    """

    memory_size: Annotated[int, Within(1, MOST_PATCHES)] | None = None
    memory_type: Literal["float16", "float32"] = "float16"
    neighbours: Count = 30
    temperature: Temperature = 0.02
    augmentation: Literal["none", "resized-crop"] = "none"
    epochs: Annotated[int, Within(1, 1000)] = 1
    crop: Annotated[SceneSize | None, OnCrops] = None
    crop_scale: Annotated[ScaleRange, OnCrops] = (0.5, 2.0)
    jitter: Annotated[float, Within(0, STRONGEST_JITTER), OnCrops] = 0.0

    @model_validator(mode="after")
    def _has_a_plan(self) -> RetrievalSettings:
        if self.augmentation == "resized-crop" and self.crop is None:
            raise ValueError("augmentation=resized-crop needs the size of a crop; set crop")
        if self.augmentation == "none" and self.epochs > 1:
            raise ValueError("augmentation=none gives the same patches in every epoch; set epochs=1")
        if self.augmentation == "none" and self.test_mode == "slide":
            raise ValueError("augmentation=none stores maps of whole images; set test_mode=whole or squash")
        if self.memory_size is not None and self.memory_size < self.neighbours:
            raise ValueError(
                f"a memory of {self.memory_size} patches has no {self.neighbours} neighbours; raise "
                "memory_size or lower neighbours"
            )
        return self
