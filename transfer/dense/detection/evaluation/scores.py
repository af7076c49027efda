"""What an evaluator of detections returns, and what all of them share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from detectron2.evaluation import DatasetEvaluator

from mmbench.records.store import Metric

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Scores:
    """The numbers of one evaluation.

    Attributes:
        metrics: in percent, by name: AP, AP50, AP75; APs, APm and APl where there are objects of that size
            (up to 32² px², up to 96² px², larger); the same with "mask_" and "keypoint_", and COCO's with
            "coco_" where AP is not COCO's.
        per_class: AP of the boxes of each class that has objects, in percent.
        notes: facts that a reader of the record must know.
        outcomes: what each average precision is computed from, per image; see `PrecisionParts.table`.
    """

    metrics: dict[str, Metric]
    per_class: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    outcomes: pd.DataFrame | None = None


class DetectionEvaluator(DatasetEvaluator):
    """Collects detections image by image, in one or several processes, and scores them."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all detections."""

    @abstractmethod
    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Collect the detections of a batch.

        Args:
            inputs: one dict per image with "image_id", see `build_evaluator`.
            outputs: one dict per image with "instances", Detectron2's detections in pixels of the image.
        """

    @abstractmethod
    def evaluate(self) -> dict[str, Scores]:
        """Return `{"scores": Scores}` in every process; all of them must call it.

        Raises:
            UserError: a score or a box is not finite.
        """


def joined_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return outcomes of several metrics as one table."""
    import pandas as pd

    table = pd.concat([each.astype({"metric": "str"}) for each in tables], ignore_index=True)
    return table.astype({"metric": "category"})


def percent(values: Mapping[str, float], images: int) -> dict[str, Metric]:
    """Return average precisions in percent as metrics over so many images."""
    return {
        name: Metric(value=min(100.0, max(0.0, value)), higher_is_better=True, n=images)
        for name, value in values.items()
    }
