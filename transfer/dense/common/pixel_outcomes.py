"""Exact pixel counts per image and class, the metrics of label maps that follow, and their table."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmbench.data.label_maps.types import IGNORED
from mmbench.errors import UserError
from mmbench.file_names import stored_name
from mmbench.records.store import Metric
from mmbench.transfer.bootstrap import FEWEST_IMAGES, RESAMPLES, image_intervals
from mmbench.transfer.dense.common.processes import gathered
from mmbench.transfer.intervals import FEW_IMAGES

COUNTED = ("intersection", "union", "labelled", "predicted")  # pixels; ignored ones are in none of them
METRICS = ("mIoU", "mAcc", "aAcc")
LABELS = 256  # that 8 bits hold
NAMED_CLASSES = 10  # at most, in a note


@dataclass(frozen=True)
class PixelScores:
    """The metrics of a set of images.

    Attributes:
        metrics: mIoU, mAcc and aAcc in percent, with 95% intervals over the images.
        per_class: IoU in percent of each class that is in label maps or predictions.
        notes: what a reader of the record must know of them.
    """

    metrics: dict[str, Metric]
    per_class: dict[str, float]
    notes: tuple[str, ...]


class PixelOutcomes:
    """Pixels per class that are right, predicted and labelled, counted as integers for each image.

    As in mmsegmentation, mIoU is a mean over the classes in label maps or predictions, mAcc over those in
    the label maps, aAcc over pixels; each is computed from the pixels of all images together.

    Args:
        classes: names in the order of labels.
        keep: names of images whose predictions are kept.

    Attributes:
        kept: the predictions (H, W), uint8, of the images to keep that were added.
    """

    def __init__(self, classes: Sequence[str], keep: Collection[str] = ()) -> None:
        self.classes = tuple(classes)
        self.kept: dict[str, NDArray[np.uint8]] = {}
        self._keep = frozenset(keep)
        self._counts: dict[str, NDArray[np.int64]] = {}  # image -> (COUNTED, classes)

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, name: str, predicted: Tensor, truth: Tensor) -> None:
        """Count the pixels of one image, whose name no other image has.

        Args:
            predicted, truth: labels (H, W), of any integer type. Pixels that are 255 in `truth` are ignored.

        Raises:
            ValueError: they differ in size, hold labels of no class, or the image was added before.
        """
        if predicted.shape != truth.shape or truth.ndim != 2:
            raise ValueError(f"{name}: prediction {(*predicted.shape,)} for labels {(*truth.shape,)}")
        if name in self._counts:
            raise ValueError(f"{name} was counted before")
        guessed, true = (_as_bytes(name, labels) for labels in (predicted, truth))
        if name in self._keep:
            self.kept[name] = guessed.numpy()
        # As 8-bit labels, all pairs have a place; this is several times faster than leaving pixels out first.
        pairs = true.to(torch.int32) * LABELS + guessed
        confusion = torch.bincount(pairs.flatten(), minlength=LABELS**2).view(LABELS, LABELS)[:IGNORED]
        classes = len(self.classes)
        if confusion[classes:].any() or confusion[:, classes:].any():
            raise ValueError(f"{name}: labels of no class; there are {classes}")
        confusion = confusion[:classes, :classes]
        right, labelled, found = confusion.diagonal(), confusion.sum(dim=1), confusion.sum(dim=0)
        self._counts[name] = torch.stack([right, labelled + found - right, labelled, found]).numpy()

    def gather(self) -> None:
        """Join the images of all processes that work together; of one that several counted, the first's."""
        everyone = gathered((self._counts, self.kept))
        self._counts, self.kept = {}, {}
        for counts, kept in reversed(everyone):
            self._counts.update(counts)
            self.kept.update(kept)

    @property
    def images(self) -> list[str]:
        """The names of the images in a fixed order."""
        return sorted(self._counts)

    def scores(self, seed: int) -> PixelScores:
        """Return the metrics; they do not depend on the order in which images were added.

        Args:
            seed: of the bootstrap.

        Raises:
            UserError: no pixel is labelled.
        """
        counts = self._stacked()
        total = counts.sum(axis=0)
        right, either, labelled, _ = total
        if not labelled.sum():
            raise UserError(
                "every pixel of the evaluated label maps is ignored (255), so nothing can be measured; fix "
                "them"
            )
        intervals, said = _intervals(counts, seed)
        metrics = {
            name: Metric(value=float(value), higher_is_better=True, n=len(counts), interval=interval)
            for name, value, interval in zip(METRICS, metrics_of(total), intervals, strict=True)
        }
        per_class = {
            name: float(100 * hits / pixels)
            for name, hits, pixels in zip(self.classes, right, either, strict=True)
            if pixels
        }
        absent = [name for name, pixels in zip(self.classes, labelled, strict=True) if not pixels]
        return PixelScores(metrics, per_class, (*_absent(absent), said))

    def _stacked(self) -> NDArray[np.int64]:
        """Return the counts (images, COUNTED, classes)."""
        shape = (len(self), len(COUNTED), len(self.classes))
        return np.array([self._counts[name] for name in self.images], dtype=np.int64).reshape(shape)

    def table(self) -> pd.DataFrame:
        """Return the counts as outcomes: a row per image and class, those without a pixel included."""
        images, classes, counts = self.images, len(self.classes), self._stacked()
        return pd.DataFrame(
            {
                "image": pd.Categorical.from_codes(
                    np.repeat(np.arange(len(images)), classes),
                    pd.Index([stored_name(name) for name in images]),
                ),
                "class": pd.Categorical.from_codes(
                    np.tile(np.arange(classes), len(images)), pd.Index(self.classes)
                ),
                **{name: counts[:, place].reshape(-1) for place, name in enumerate(COUNTED)},
            }
        )


def _as_bytes(name: str, labels: Tensor) -> Tensor:
    """Return labels as uint8 on the CPU.

    Raises:
        ValueError: one does not fit.
    """
    if labels.dtype != torch.uint8 and labels.numel():
        low, high = torch.aminmax(labels)
        if low < 0 or high >= LABELS:
            raise ValueError(f"{name}: labels of no class, from {int(low)} to {int(high)}")
        labels = labels.to(torch.uint8)
    return labels.cpu()


def metrics_of(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Return mIoU, mAcc and aAcc in percent (..., 3) from counts of pixels (..., 4, classes) as `COUNTED`.

    NaN where no pixel is labelled.
    """
    right, either, labelled, _ = np.moveaxis(counts.astype(np.float64), -2, 0)
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a mean over no class
        iou = np.nanmean(right / either, axis=-1)
        accuracy = np.nanmean(right / labelled, axis=-1)
        overall = right.sum(axis=-1) / labelled.sum(axis=-1)
    return 100 * np.stack([iou, accuracy, overall], axis=-1)


def _intervals(counts: NDArray[np.int64], seed: int) -> tuple[list[tuple[float, float] | None], str]:
    """Return the interval of each metric, and the note that says how they were found."""
    images = len(counts)
    if images < FEWEST_IMAGES:
        return [None] * len(METRICS), f"no intervals: they need {FEWEST_IMAGES} evaluated images"
    found = image_intervals(counts, metrics_of, seed)
    said = f"intervals: 95%, BCa bootstrap, {RESAMPLES} resamples of the {images} evaluated images, not of "
    said += "pretrainings or seeds"
    if without := [name for name, interval in zip(METRICS, found, strict=True) if interval is None]:
        said += f"; none for {', '.join(without)}, where all resamples are equal"
    in_images = (counts[:, COUNTED.index("labelled")] > 0).sum(axis=0)
    if rare := int(((in_images > 0) & (in_images < FEW_IMAGES)).sum()):
        said += f"; too narrow for the {rare} classes that fewer than {FEW_IMAGES} images show"
    return found, said


def _absent(names: Sequence[str]) -> list[str]:
    """Return the note on the classes that no evaluated label map has, if there are any."""
    if not names:
        return []
    shown = ", ".join(names[:NAMED_CLASSES])
    if len(names) > NAMED_CLASSES:
        shown += f" and {len(names) - NAMED_CLASSES} more"
    return [
        f"not in the evaluated label maps: {shown}; mAcc leaves them out of its mean, so does mIoU unless "
        "they are predicted"
    ]
