"""Settings of random crops, of the tasks that train on such."""

from __future__ import annotations

from typing import Any

from mmbench.images.crop_rule import CropFit, CropRule
from mmbench.settings.types import CropScale
from mmbench.tasks import TaskSettings


class CropSettings(TaskSettings):
    """Base class of settings with random crops; crops and flips are the only augmentation.

    Attributes:
        crop_scale: range of the crop's area, as a share of the image's.
        crop_fit: what becomes of a crop that is wider or taller than the image: "cut" shortens that side,
            "redraw" draws again, as torchvision does; see `CropRule`.
    """

    crop_scale: CropScale = (0.08, 1.0)
    crop_fit: CropFit = "cut"

    @property
    def trains_on_crops(self) -> bool:
        """Whether random crops are drawn at all."""
        return True

    def crop_rule(self) -> CropRule:
        """Return what crops are drawn from."""
        return CropRule(self.crop_scale, fit=self.crop_fit)

    def recorded(self) -> dict[str, Any]:
        """Return the settings as a record holds them; protocols that do not state `crop_fit` cut."""
        settings = super().recorded()
        if "crop_fit" not in self.model_fields_set:
            del settings["crop_fit"]
        return settings
