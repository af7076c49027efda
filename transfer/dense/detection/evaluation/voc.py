"""VOC 2007's average precision, by Detectron2's own code: 11 points of recall, IoU .50:.05:.95."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import PascalVOCDetectionEvaluator
from detectron2.evaluation.pascal_voc_evaluation import parse_rec, voc_eval
from detectron2.utils import comm

from mmbench.data.annotated.types import AnnotatedSplit
from mmbench.distributed import on_main
from mmbench.files import write_text
from mmbench.transfer.dense.detection.evaluation.coco import CocoEvaluator
from mmbench.transfer.dense.detection.evaluation.ground_truth import (
    VOC_SPLIT,
    VOC_YEAR,
    counts,
    voc_names,
    write_voc,
)
from mmbench.transfer.dense.detection.evaluation.matching import voc_parts
from mmbench.transfer.dense.detection.evaluation.parts import VOC_RECALLS, PrecisionParts
from mmbench.transfer.dense.detection.evaluation.scores import (
    DetectionEvaluator,
    Scores,
    joined_tables,
    percent,
)

THRESHOLDS = range(50, 100, 5)  # IoU in percent
BESIDE = ("AP", "AP50", "AP75")  # of COCO's boxes, reported as coco_AP, ...
Lines = dict[int, list[str]]


class VocEvaluator(DetectionEvaluator):
    """Scores boxes as Detectron2 does on VOC 2007, and everything as COCO does beside it.

    Args:
        coco: the evaluator of what stands beside.
        split: the evaluated split.
        classes: names in the order of labels.
        dataset_name: name in Detectron2's catalog, whose metadata get dirname, split and year.
        folder: for the XML files, the list of images and the detections.
    """

    def __init__(
        self,
        coco: CocoEvaluator,
        split: AnnotatedSplit,
        classes: Sequence[str],
        dataset_name: str,
        folder: Path,
    ) -> None:
        self.coco, self.split, self.classes, self.folder = coco, split, tuple(classes), folder
        metadata = MetadataCatalog.get(dataset_name)
        metadata.set(dirname=str(folder), split=VOC_SPLIT, year=VOC_YEAR)
        if not hasattr(metadata, "thing_classes"):
            metadata.thing_classes = list(classes)
        self.voc = PascalVOCDetectionEvaluator(dataset_name)
        self.voc.reset()

    def reset(self) -> None:
        """Forget all detections."""
        self.coco.reset()
        self.voc.reset()

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Collect the detections of a batch; see `DetectionEvaluator`."""
        self.coco.process(inputs, outputs)
        self.voc.process(inputs, outputs)

    def evaluate(self) -> dict[str, Scores]:
        """Return `{"scores": Scores}` in every process; see `DetectionEvaluator`."""
        beside = self.coco.evaluate()["scores"]
        everyone = comm.gather(dict(self.voc._predictions), dst=0)
        return {"scores": on_main(lambda: self._joined(*self._precisions(everyone), beside))}

    def _precisions(self, everyone: Sequence[Lines]) -> tuple[np.ndarray[Any, Any], PrecisionParts]:
        """Write annotations and detections, and return the AP in percent by (class, IoU), and its parts."""
        write_voc(self.split, self.classes, self.folder)
        lines: Lines = defaultdict(list)
        for label, found in itertools.chain.from_iterable(part.items() for part in everyone):
            lines[label] += found
        annotations, images = self.folder / "Annotations", self.folder / "ImageSets" / "Main"
        parse_rec.cache_clear()  # by file name: the files of a run before may have had the same
        rows, names = [], voc_names(self.classes)
        for label, name in enumerate(names):
            # The order of images decides between equal scores, however many processes there were.
            in_order = lines[label] = sorted(lines[label], key=lambda line: int(line.partition(" ")[0]))
            path = self.folder / "detections" / f"{label}.txt"
            write_text(path, "\n".join(in_order))
            with np.errstate(invalid="ignore"):  # recall of a class without objects
                rows.append(
                    [
                        100
                        * voc_eval(
                            _literal(path),
                            f"{_literal(annotations)}/{{}}.xml",
                            str(images / f"{VOC_SPLIT}.txt"),
                            name,
                            ovthresh=threshold / 100,
                            use_07_metric=True,
                        )[2]
                        for threshold in THRESHOLDS
                    ]
                )
        objects = [parse_rec(f"{annotations}/{number + 1}.xml") for number in range(len(self.split.images))]
        parse_rec.cache_clear()
        return np.array(rows), voc_parts([lines[label] for label in range(len(names))], objects, names)

    def _joined(self, precisions: np.ndarray[Any, Any], parts: PrecisionParts, beside: Scores) -> Scores:
        """Return VOC's scores with COCO's beside them."""
        by_threshold = dict(zip(THRESHOLDS, precisions.mean(axis=0).tolist(), strict=True))
        values = {"AP": float(precisions.mean()), "AP50": by_threshold[50], "AP75": by_threshold[75]}
        metrics = percent(values, len(self.split.images))
        metrics = parts.with_intervals(metrics, "", parts.statistic(VOC_RECALLS, absent=0.0))
        metrics |= {f"coco_{name}": beside.metrics[name] for name in BESIDE}
        metrics |= {name: metric for name, metric in beside.metrics.items() if "_" in name}
        present = {
            instance.label for image in self.split.images for instance in image.instances if counts(instance)
        }
        per_class = {
            name: float(precisions[label].mean())
            for label, name in enumerate(self.classes)
            if label in present
        }
        notes = list(beside.notes)
        if absent := [name for label, name in enumerate(self.classes) if label not in present]:
            notes.append(
                f"no object of {', '.join(absent[:5])}{', ...' if len(absent) > 5 else ''} counts: as in "
                f"Detectron2's VOC evaluator, {len(absent)} of {len(self.classes)} classes enter AP with 0"
            )
        assert beside.outcomes is not None
        renamed = beside.outcomes["metric"].cat.rename_categories({"AP": "coco_AP"})
        tables = [parts.table("AP", self.coco.names, self.classes), beside.outcomes.assign(metric=renamed)]
        return Scores(metrics, per_class, tuple(notes), joined_tables(tables))


def _literal(path: Path) -> str:
    """Return a path that `str.format` leaves as it is."""
    return str(path).replace("{", "{{").replace("}", "}}")
