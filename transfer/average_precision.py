"""Average precision of resampled images, and its 95% intervals by the bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mmbench.results import Metric
from mmbench.transfer.bootstrap import FEWEST_IMAGES, resampled_intervals
from mmbench.transfer.intervals import BOOTSTRAPPED, interval_note

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
# From recall and interpolated precision (draws, right ones), in the order of the scores, to the average
# precision (draws,).
Averaging = Callable[[Array, Array], Array]


def area(recall: Array, precision: Array) -> Array:
    """Return the area below the curve, as `metrics.average_precision`."""
    return np.asarray((np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1))


def mean_of_points(points: Array) -> Averaging:
    """Return the averaging of the precision at fixed values of recall, which is 0 where none is reached.

    Args:
        points: of recall, in rising order.
    """

    def averaged(recall: Array, precision: Array) -> Array:
        reached = np.searchsorted(points, recall, side="right")
        return np.asarray((np.diff(reached, axis=1, prepend=0) * precision).sum(axis=1) / len(points))

    return averaged


@dataclass(frozen=True)
class Ranking:
    """What is ranked by one score, such as the images or the detections of one class, from the best on.

    Attributes:
        image: (n,), the number of the image that each belongs to.
        right: (r,), the places, in rising order, of those that are right; of equal scores all share the last
            place where the order must not decide.
        right_image: (r,), the images of the right ones.
        ignored: places of those that count neither as right nor as wrong, in rising order.
        objects: (images,), how many there are to find in each image.
    """

    image: Places
    right: Places
    right_image: Places
    ignored: Places
    objects: npt.NDArray[np.int64]

    def averages(self, times: Array, taken: Array, averaging: Averaging) -> Array:
        """Return the average precision (draws,), NaN where there is nothing to find.

        Args:
            times: (draws, images), how often each image was drawn.
            taken: `taken_until` of these.
        """
        total = times @ self.objects
        if not len(self.right):
            return np.where(total > 0, 0.0, np.nan)
        hits = np.cumsum(times[:, self.right_image], axis=1)
        counted = taken[:, self.right]
        if len(self.ignored):
            left_out = np.cumsum(times[:, self.image[self.ignored]], axis=1)
            before = np.searchsorted(self.ignored, self.right, side="right")
            counted = counted - np.pad(left_out, ((0, 0), (1, 0)))[:, before]
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(counted > 0, hits / counted, 0.0)
            recall = hits / total[:, None]
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        return np.where(total > 0, averaging(np.where(total[:, None] > 0, recall, 0.0), best), np.nan)


def taken_until(times: Array, image: Places) -> Array:
    """Return how many of a ranking (draws, n) are in the resamples up to each place."""
    return np.asarray(np.cumsum(times[:, image], axis=1))


def ranked_images(scores: Tensor, truth: Tensor, images: int) -> Ranking:
    """Return the images of one class with several labels as a ranking.

    Args:
        scores: (N,), larger is more likely.
        truth: (N,), 1, 0, or -1 for images that are left out.
        images: N.
    """
    counted = np.flatnonzero((truth >= 0).numpy())
    order = counted[np.argsort(-scores.numpy()[counted], kind="stable")]
    ranked, right = scores.numpy()[order], (truth.numpy()[order] > 0)
    last_of_equals = np.searchsorted(-ranked, -ranked, side="right") - 1
    objects = np.zeros(images, dtype=np.int64)
    objects[order[right]] = 1
    return Ranking(order, last_of_equals[right], order[right], np.zeros(0, dtype=np.intp), objects)


def with_precision_intervals(
    metrics: Mapping[str, Metric], scores: Tensor, labels: Tensor, seed: int
) -> tuple[dict[str, Metric], str]:
    """Return mAP and mAP_11_points of images with several labels with intervals, and the note on these.

    Args:
        scores, labels: (N, classes), as the metrics were computed from.
        seed: of the draws.
    """
    images, names = len(labels), ("mAP", "mAP_11_points")
    how = dict.fromkeys(names, BOOTSTRAPPED)
    if images < FEWEST_IMAGES:
        return dict(metrics), interval_note(metrics, images, how)
    rankings = [ranked_images(scores[:, place], labels[:, place], images) for place in range(labels.shape[1])]
    averagings = (area, mean_of_points(np.arange(11) / 10))

    def means(times: Array) -> Array:
        found = []
        for ranking in rankings:
            taken = taken_until(times, ranking.image)
            found.append([ranking.averages(times, taken, averaging) for averaging in averagings])
        return np.asarray(100 * np.nanmean(np.array(found), axis=0)).T

    intervals = resampled_intervals(np.ones(images, dtype=np.int64), means, seed)
    found = dict(metrics)
    for name, interval in zip(names, intervals, strict=True):
        found[name] = metrics[name].model_copy(update={"interval": interval})
    return found, interval_note(found, images, how)
