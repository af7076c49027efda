"""The splits of a dense run: what is trained on, a subset of it where one is drawn, and what is evaluated."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from mmbench.data.annotated.remarks import checked_remarks
from mmbench.data.annotated.shared import train_and_evaluated
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.types import Split


@dataclass(frozen=True)
class DenseSplits:
    """What is trained on and what is evaluated.

    Attributes:
        train: with a subset of its images where one is drawn.
        name: of the evaluated split.
        remarks: a line for each thing that a reader of the record must know of the data.
    """

    data: AnnotatedData
    train: AnnotatedSplit
    evaluated: AnnotatedSplit
    name: Split
    remarks: tuple[str, ...]


def dense_splits(data: AnnotatedData, evaluated: Split, train_images: int | None, seed: int) -> DenseSplits:
    """Return the annotated images that a run uses.

    Args:
        evaluated: the protocol's split.
        train_images: how many training images are drawn; None takes all.
        seed: of the draw.

    Raises:
        UserError: a split is missing or cannot be read, or something in it is refused.
    """
    remarks = checked_remarks(data, (evaluated,))
    train, other = train_and_evaluated(data, evaluated)
    if train_images is not None and train_images < len(train.images):
        chosen = draw_subset(len(train.images), train_images, seed)
        train = dataclasses.replace(train, images=tuple(train.images[index] for index in chosen))
    return DenseSplits(data, train, other, evaluated, remarks)


def draw_subset(total: int, count: int, seed: int) -> list[int]:
    """Return `count` of the indices below `total`, drawn by `seed`, in rising order."""
    generator = torch.Generator().manual_seed(seed)
    return sorted(torch.randperm(total, generator=generator)[:count].tolist())
