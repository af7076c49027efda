"""What users of a written file must know of its images, where they would assume something else."""

from __future__ import annotations

import math

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD, OWN_IMAGES
from mmbench.checkpoints.images.timm_config import default_size
from mmbench.checkpoints.target import Target

NEAR = 1e-6  # of an image in [0, 1]: rounding of files that state 123.675 or 0.485


def image_notes(target: Target, backbone: Backbone) -> list[str]:
    """Return one line for each fact of the images that a reader of the file would assume otherwise."""
    preprocessing = backbone.card.preprocessing
    mean, std = preprocessing.mean, preprocessing.std
    notes = []
    if not target.states_images and not (_near(mean, IMAGENET_MEAN) and _near(std, IMAGENET_STD)):
        white = target.white
        note = (
            f"images: normalise RGB of 0 to {white:g} by mean {_written(mean, white)} and std "
            f"{_written(std, white)}, which are not ImageNet's"
        )
        if not target.keeps_card:
            options = f"--mean {_written(mean)} --std {_written(std)}"
            note += f"; the file cannot hold them: mmbench reads it by {options}"
        notes.append(note)
    if target.keeps_card:
        return notes
    if preprocessing.image_size != default_size(backbone.arch):
        notes.append(
            f"images: of {preprocessing.image_size} px, which the file cannot hold: mmbench reads it by "
            f"--image-size {preprocessing.image_size}"
        )
    if preprocessing.crop_pct is not None and backbone.card.origins.get("crop_pct") != OWN_IMAGES:
        notes.append(
            f"images: in evaluation the middle {preprocessing.crop_pct:.6g} of their short side is seen "
            "(crop_pct), which the file cannot hold"
        )
    return notes


def _near(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(math.isclose(a, b, rel_tol=0, abs_tol=NEAR) for a, b in zip(one, other, strict=True))


def _written(values: tuple[float, ...], white: float = 1) -> str:
    return ",".join(f"{value * white:.6g}" for value in values)
