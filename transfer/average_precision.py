"""Average precision of resampled images, and the 95% intervals of its mean over classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mmbench.records.store import Metric
from mmbench.transfer.bootstrap import FEWEST_IMAGES
from mmbench.transfer.intervals import interval_note
from mmbench.transfer.precision_intervals import BY_STANDARD_ERROR, precision_intervals

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Drawn:
    """What rankings of the same things need of draws of images.

    Attributes:
        total: (draws,), how many there are to find.
        images: (i,), sorted: the images of the right and the ignored ones.
        times: (draws, i), how often each of these was drawn.
        places: (p,), sorted: the places at which the right ones of some ranking count.
        taken: (draws, p), how many of the ranked things were drawn up to each of these places.
    """

    total: Array
    images: Places
    times: Array
    places: Places
    taken: Array
    tables: dict[bytes, Places] = field(default_factory=dict, repr=False)

    def recall(self, hits: Array) -> Array:
        """Return the recall (draws, n) of hits (draws, n); 0 where there is nothing to find."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.total[:, None] > 0, hits / self.total[:, None], 0.0)

    def reached(self, points: Array, hits: Array) -> Places:
        """Return how many of the points of recall are reached by hits (draws, n).

        They are searched for once for every possible number of hits, as all rankings have the same draws.
        """
        key, most = points.tobytes(), int(hits.max()) + 1
        if key not in self.tables or self.tables[key].shape[1] < most:
            numbers = np.broadcast_to(np.arange(most, dtype=np.float64), (len(hits), most))
            self.tables[key] = np.searchsorted(points, self.recall(numbers), side="right")
        starts = np.arange(len(hits))[:, None] * self.tables[key].shape[1]
        places = np.ascontiguousarray(hits, dtype=np.intp) + starts
        return np.asarray(self.tables[key].ravel()[places])


# From draws, hits and interpolated precision (draws, right ones), in the order of the scores, to the average
# precision (draws,).
Averaging = Callable[[Drawn, Array, Array], Array]


def area(drawn: Drawn, hits: Array, precision: Array) -> Array:
    """Return the area below the curve, as `metrics.average_precision`."""
    return np.asarray((np.diff(drawn.recall(hits), axis=1, prepend=0.0) * precision).sum(axis=1))


def mean_of_points(points: Array) -> Averaging:
    """Return the averaging of the precision at fixed values of recall, which is 0 where none is reached.

    Args:
        points: of recall, in rising order.
    """

    def averaged(drawn: Drawn, hits: Array, precision: Array) -> Array:
        reached = drawn.reached(points, hits)
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

    def averages(self, drawn: Drawn, averaging: Averaging) -> Array:
        """Return the average precision (draws,), NaN where there is nothing to find.

        Args:
            drawn: of this ranking among others, see `draw`.
        """
        if not len(self.right):
            return np.where(drawn.total > 0, 0.0, np.nan)
        hits = np.cumsum(drawn.times[:, np.searchsorted(drawn.images, self.right_image)], axis=1)
        counted = drawn.taken[:, np.searchsorted(drawn.places, self.right)]
        if len(self.ignored):
            ignored = np.searchsorted(drawn.images, self.image[self.ignored])
            left_out = np.cumsum(drawn.times[:, ignored], axis=1)
            before = np.searchsorted(self.ignored, self.right, side="right")
            counted = counted - np.pad(left_out, ((0, 0), (1, 0)))[:, before]
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(counted > 0, hits / counted, 0.0)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        return np.where(drawn.total > 0, averaging(drawn, hits, best), np.nan)


def draw(times: Array, rankings: Sequence[Ranking]) -> Drawn:
    """Return what rankings need of draws; they differ in what is right or ignored alone.

    Numbers of drawn things are added up between the places that count, by a sparse product: most places are
    of wrong ones. They are whole numbers, so that no order of adding changes them.

    Args:
        times: (draws, images), how often each image was drawn.
    """
    from scipy.sparse import csr_array

    image, objects = rankings[0].image, rankings[0].objects
    right = [ranking.right for ranking in rankings]
    places = np.unique(np.concatenate(right))
    needed = [
        *(ranking.right_image for ranking in rankings),
        *(ranking.image[ranking.ignored] for ranking in rankings),
    ]
    images = np.unique(np.concatenate(needed))
    last = int(places[-1]) + 1 if len(places) else 0
    starts = np.concatenate([np.zeros(1, dtype=np.intp), places + 1])
    between = csr_array((np.ones(last), image[:last], starts), shape=(len(places), times.shape[1]))
    taken = np.cumsum((between @ times.T).T, axis=1)
    return Drawn(times @ objects.astype(np.float64), images, times[:, images], places, taken)


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
    how = dict.fromkeys(names, BY_STANDARD_ERROR)
    if images < FEWEST_IMAGES:
        return dict(metrics), interval_note(metrics, images, how)
    rankings = [ranked_images(scores[:, place], labels[:, place], images) for place in range(labels.shape[1])]
    averagings = (area, mean_of_points(np.arange(11) / 10))

    def means(times: Array) -> Array:
        found = []
        for ranking in rankings:
            drawn = draw(times, [ranking])
            found.append([ranking.averages(drawn, averaging) for averaging in averagings])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a mean over no class
            return np.asarray(100 * np.nanmean(np.array(found), axis=0)).T

    values = [metrics[name].value for name in names]
    shown = (labels > 0).any(dim=1).numpy()
    intervals = precision_intervals(values, means, shown, seed)
    found = dict(metrics)
    for name, interval in zip(names, intervals, strict=True):
        found[name] = metrics[name].model_copy(update={"interval": interval})
    return found, interval_note(found, images, how)
