"""From a uint8 batch to what a framework compares: two augmented views, filtered and masked by the recipe."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mmbench.checkpoints.card import Preprocessing
from mmbench.errors import UserError
from mmbench.images.preprocessing import high_pass
from mmbench.pretrain.augment import Augment
from mmbench.pretrain.framework import Views
from mmbench.pretrain.masking import MASKINGS
from mmbench.pretrain.settings import PretrainConfig


class ViewMaker:
    """Makes the views of one configuration.

    Attributes:
        masking: the configuration's masking.
        preprocessing: what every view went through, and what finished weights will expect.

    Raises:
        UserError: the mask has more cells than the image has pixels.
    """

    def __init__(self, config: PretrainConfig, image_size: int, device: torch.device) -> None:
        settings = config.masking_settings
        cells = settings.cells
        if cells > image_size:
            raise UserError(
                f"a mask of {cells} x {cells} cells does not fit images of {image_size} px; use "
                f"--set masking.{settings.CELLS}={max(2, image_size // 8)}"
            )
        self.masking = MASKINGS.get(config.masking["name"])(settings, image_size)
        self.preprocessing = Preprocessing(image_size=image_size, high_pass=self.masking.high_pass)
        self.augment = Augment(config.augmentation, self.preprocessing, device)

    @torch.no_grad()
    def __call__(self, images: Tensor, generator: Generator, *, key_order: Tensor | None = None) -> Views:
        """Return the views of uint8 images: normalise, then filter, then mask, nothing after.

        Args:
            images: whole images (B, 3, H, W), or two crops of each (2, B, 3, S, S).
            key_order: handed on in the views.
        """
        cropped = images.dim() == 5
        pairs = images.flatten(0, 1) if cropped else torch.cat([images, images])
        views = self.augment(pairs, generator, cropped=cropped)
        if self.preprocessing.high_pass is not None:
            views = high_pass(views, self.preprocessing.high_pass)
        query, key = views.chunk(2)
        masked = self.masking.checked(query, generator)
        compare_clean = not masked or self.masking.keeps_clean_query
        return Views(query, key, masked, compare_clean, key_order)
