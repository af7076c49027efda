"""What average precision is computed from, per image; its table, and its 95% intervals over images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmbench.records.store import Metric
from mmbench.transfer.average_precision import Ranking, draw, mean_of_points
from mmbench.transfer.bootstrap import FEWEST_IMAGES
from mmbench.transfer.precision_intervals import precision_intervals

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]
THRESHOLDS = range(50, 100, 5)  # IoU (of keypoints: similarity) in percent
RIGHT, WRONG, IGNORED = 1, 0, -1
COCO_RECALLS = np.linspace(0, 1, 101)
VOC_RECALLS = np.arange(0.0, 1.1, 0.1)  # as Detectron2 has them
NUMBERS_AT_ONCE = 4_000_000  # of drawn detections in memory: 32 MB
SEED = 0  # of the bootstrap: nothing else is drawn in an evaluation


@dataclass(frozen=True)
class PrecisionParts:
    """The detections of all images and the number of objects, as one average precision sees them.

    Attributes:
        image: (D,), numbers of images from 0.
        label: (D,), classes from 0.
        score: float32, (D,).
        place: (D,), in the ranking of the class from 0, in which equal scores have the evaluator's order.
        found: int8, (D, thresholds): `RIGHT`, `WRONG`, or `IGNORED` where it counts as neither.
        objects: (images, classes), how many objects there are to find.
    """

    image: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    score: npt.NDArray[np.float32]
    place: npt.NDArray[np.int64]
    found: npt.NDArray[np.int8]
    objects: npt.NDArray[np.int64]

    def table(self, metric: str, images: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
        """Return the parts as outcomes, see "Per-image outcomes" in docs/transfer.md.

        Args:
            metric: name of the average precision.
            images, classes: their names.
        """
        import pandas as pd

        order = np.lexsort((self.place, self.label, self.image))
        there, kind = np.nonzero(self.objects)
        bare = np.setdiff1d(np.arange(len(images)), there)  # every image has a row
        image = np.concatenate([there, bare, self.image[order]])
        columns: dict[str, Any] = {
            "metric": pd.Categorical([metric] * len(image)),
            "image": pd.Categorical.from_codes(image, pd.Index(images)),
            "class": pd.Categorical.from_codes(
                np.concatenate([kind, np.full(len(bare), -1), self.label[order]]), pd.Index(classes)
            ),
        }
        above = len(there) + len(bare)
        detections = range(above, len(image))
        counts = np.concatenate([self.objects[there, kind], np.zeros(len(bare), dtype=np.int64)])
        columns["objects"] = pd.Series(counts, range(above), dtype="Int32")
        columns["score"] = pd.Series(self.score[order], detections, dtype="Float32")
        columns["place"] = pd.Series(self.place[order], detections, dtype="Int32")
        for column, threshold in enumerate(THRESHOLDS):
            columns[f"iou{threshold}"] = pd.Series(self.found[order, column], detections, dtype="Int8")
        table = pd.DataFrame(columns, index=range(len(image)))
        return table.iloc[np.argsort(image, kind="stable")].reset_index(drop=True)

    def statistic(self, points: Array, *, absent: float) -> Callable[[Array], Array]:
        """Return the function from draws of images (draws, images) to AP, AP50 and AP75 (draws, 3).

        Args:
            points: values of recall at which precision is averaged.
            absent: the average precision of a class without objects; NaN leaves it out.
        """
        averaging = mean_of_points(points)
        rankings = [list(self._rankings(label)) for label in range(self.objects.shape[1])]
        longest = max(1, *np.bincount(self.label, minlength=1).tolist())

        def means(times: Array) -> Array:
            found = []  # (classes, thresholds, draws)
            for of_class in rankings:
                drawn = draw(times, of_class)
                found.append([ranking.averages(drawn, averaging) for ranking in of_class])
            values = np.array(found)
            values[np.isnan(values)] = absent
            halves = np.stack([values[:, THRESHOLDS.index(at)] for at in (50, 75)])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a mean over no class
                whole = np.nanmean(values, axis=(0, 1))
                return np.asarray(100 * np.vstack([whole, np.nanmean(halves, axis=1)]).T)

        def in_parts(times: Array) -> Array:
            size = max(1, NUMBERS_AT_ONCE // longest)
            return np.concatenate(
                [means(times[start : start + size]) for start in range(0, len(times), size)]
            )

        return in_parts

    def _rankings(self, label: int) -> list[Ranking]:
        """Return the detections of one class as a ranking for each threshold."""
        own = np.flatnonzero(self.label == label)
        own = own[np.argsort(self.place[own])]
        image, objects = self.image[own], self.objects[:, label]
        found = []
        for status in self.found[own].T:
            right = np.flatnonzero(status == RIGHT)
            found.append(Ranking(image, right, image[right], np.flatnonzero(status == IGNORED), objects))
        return found

    def with_intervals(
        self, metrics: Mapping[str, Metric], prefix: str, statistic: Callable[[Array], Array]
    ) -> dict[str, Metric]:
        """Return the metrics, those called `prefix` + AP, AP50 and AP75 with intervals over images.

        Args:
            statistic: see `statistic`.
        """
        images, found = len(self.objects), dict(metrics)
        if images < FEWEST_IMAGES:
            return found
        names = [prefix + name for name in ("AP", "AP50", "AP75")]
        values = [found[name].value if name in found else np.nan for name in names]
        intervals = precision_intervals(values, statistic, self.objects.sum(axis=1) > 0, SEED)
        for name, interval in zip(names, intervals, strict=True):
            if name in found:
                found[name] = found[name].model_copy(update={"interval": interval})
        return found
