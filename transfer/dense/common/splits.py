"""The scenes of a run: its evaluated split, checked annotations, and a subset of the training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from mmbench.data import Scenes
from mmbench.data.types import Split
from mmbench.transfer.job import TransferJob


@dataclass(frozen=True)
class SceneSplits:
    """What is trained on and what is evaluated.

    Attributes:
        evaluated: the protocol's split.
        subset: rising indices of the training images that are used; None takes all.
        sizes: number of images used per split.
    """

    scenes: Scenes
    evaluated: Split
    subset: list[int] | None
    sizes: dict[str, int]


def scene_splits(
    job: TransferJob, train_images: int | None, check: Callable[[Scenes, Split], int]
) -> SceneSplits:
    """Return the scenes that a job uses.

    Args:
        train_images: how many training images are drawn by the job's seed; None takes all.
        check: returns the number of images of a split, or raises UserError for annotations that do not fit.

    Raises:
        UserError: there are no scenes, the protocol's split is unknown, or the annotations do not fit.
    """
    scenes, evaluated = job.dataset.require_scenes(), job.protocol.evaluated()
    available = check(scenes, "train")
    sizes: dict[str, int] = {"train": available, evaluated: check(scenes, evaluated)}
    subset = None
    if train_images is not None and train_images < available:
        subset = draw_subset(available, train_images, job.seed)
        sizes["train"] = len(subset)
    return SceneSplits(scenes, evaluated, subset, sizes)


def draw_subset(total: int, count: int, seed: int) -> list[int]:
    """Return `count` of the indices below `total`, drawn by `seed`, in rising order."""
    generator = torch.Generator().manual_seed(seed)
    return sorted(torch.randperm(total, generator=generator)[:count].tolist())
