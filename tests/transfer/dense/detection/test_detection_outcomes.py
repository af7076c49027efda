"""Per-image outcomes of detection: they give every average precision again, by loops over their rows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from detections import feed, nothing, random_detections, random_split
from detectron2.data import MetadataCatalog
from scipy.stats import t as student

from mmbench.leaderboard.verify.recomputed import recomputed
from mmbench.transfer import bootstrap
from mmbench.transfer.dense.detection.evaluation import build_evaluator
from mmbench.transfer.dense.detection.evaluation.ground_truth import coco_ground_truth
from mmbench.transfer.dense.detection.evaluation.matching import coco_parts
from mmbench.transfer.dense.detection.evaluation.parts import COCO_RECALLS
from mmbench.transfer.dense.detection.evaluation.scores import Scores

CLASSES = ("plain", "with space / slash", "<é> & {0}", "in no image")
PREFIXES = ("", "mask_", "keypoint_")


def precision_by_loops(table: pd.DataFrame, column: str, name: str, recalls: list[float]) -> float | None:
    """The average precision of one class at one threshold; None where there is nothing to find."""
    own = table[table["class"] == name]
    total = int(own["objects"].fillna(0).sum())
    right, wrong, curve = 0, 0, {}  # place -> recall and precision there, of several in one place at the last
    ranked = own[own["score"].notna()].sort_values("place")
    for place, status in zip(ranked["place"], ranked[column], strict=True):
        right, wrong = right + (status == 1), wrong + (status == 0)
        curve[place] = (right / total if total else 0.0, right / max(1, right + wrong))
    if not total:
        return None
    return float(np.mean([max((p for r, p in curve.values() if r >= at), default=0.0) for at in recalls]))


def average(table: pd.DataFrame, columns: list[str], recalls: list[float], absent: float | None) -> float:
    found = [precision_by_loops(table, column, name, recalls) for column in columns for name in CLASSES]
    values = [absent if value is None else value for value in found]
    return 100 * float(np.mean([value for value in values if value is not None]))


def columns_of(name: str) -> list[str]:
    return [f"iou{at}" for at in (range(50, 100, 5) if name.endswith("AP") else [int(name[-2:])])]


def require_the_same_by_verify(scores: Scores, folder: Path) -> None:
    """What `mmbench leaderboard verify` computes anew from the file are the metrics."""
    assert scores.outcomes is not None
    scores.outcomes.to_parquet(folder / "outcomes.parquet", index=False)
    found = recomputed(pd.read_parquet(folder / "outcomes.parquet"), {})
    expected = {name: m.value for name, m in scores.metrics.items() if name[-1] not in "sml"}
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_coco_precisions_follow_from_the_file(tmp_path) -> None:
    split = random_split(40, 3, 0, keypoints=17)
    evaluator = build_evaluator("coco", split, CLASSES, "unused", ("boxes", "masks", "keypoints"), tmp_path)
    feed(evaluator, split, random_detections(split, 3, 1), "masks", "keypoints")
    scores = evaluator.evaluate()["scores"]
    assert scores.outcomes is not None
    for prefix in PREFIXES:
        table = scores.outcomes[scores.outcomes["metric"] == f"{prefix}AP"]
        assert list(dict.fromkeys(table["image"])) == [image.path for image in split.images], "each, in order"
        for name in ("AP", "AP50", "AP75"):
            metric = scores.metrics[prefix + name]
            value = average(table, columns_of(name), np.linspace(0, 1, 101).tolist(), None)
            assert metric.value == pytest.approx(value, rel=1e-9)
            assert metric.interval is not None and metric.interval[0] < value < metric.interval[1]
    assert all(metric.interval is None for name, metric in scores.metrics.items() if name[-1] in "sml")
    require_the_same_by_verify(scores, tmp_path)


@pytest.mark.parametrize("found", ["some", "nothing"])
def test_voc_precisions_follow_from_the_file(tmp_path, found) -> None:
    split = random_split(30, 3, 2)
    dataset = f"outcomes/{tmp_path.name}"
    evaluator = build_evaluator("voc2007", split, CLASSES, dataset, ("boxes",), tmp_path)
    feed(evaluator, split, random_detections(split, 3, 3) if found == "some" else nothing(split))
    scores = evaluator.evaluate()["scores"]
    MetadataCatalog.pop(dataset)
    assert scores.outcomes is not None
    recalls = {"AP": np.arange(0.0, 1.1, 0.1).tolist(), "coco_AP": np.linspace(0, 1, 101).tolist()}
    for kind, absent in (("AP", 0.0), ("coco_AP", None)):
        table = scores.outcomes[scores.outcomes["metric"] == kind]
        assert table["image"].nunique() == 30
        for name in ("AP", "AP50", "AP75"):
            metric = scores.metrics[kind.removesuffix("AP") + name]
            value = average(table, columns_of(name), recalls[kind], absent)
            assert metric.value == pytest.approx(value, rel=1e-9, abs=1e-12)
            assert (metric.interval is None) == (found == "nothing")
    require_the_same_by_verify(scores, tmp_path)


def test_a_resample_is_scored_as_if_its_images_were_the_data(tmp_path) -> None:
    """Twice, once and never: the statistic of the bootstrap against rows that are copied."""
    split = random_split(25, 3, 4)
    evaluator = build_evaluator("coco", split, CLASSES, "unused", ("boxes",), tmp_path)
    feed(evaluator, split, random_detections(split, 3, 5))
    found = [
        {**item, "category_id": item["category_id"] + 1} for _, items in evaluator._found for item in items
    ]
    for item in found:
        item.pop("segmentation", None)
    parts = coco_parts(coco_ground_truth(split, CLASSES, ("boxes",)), found, "bbox")
    table = parts.table("AP", [str(number) for number in range(25)], CLASSES)
    times = np.random.default_rng(0).integers(0, 3, 25)
    copies = [
        table[table["image"] == str(number)] for number, count in enumerate(times) for _ in range(count)
    ]
    drawn = pd.concat(copies, ignore_index=True)
    values = parts.statistic(COCO_RECALLS, absent=math.nan)(times[None].astype(float))[0]
    for value, name in zip(values, ("AP", "AP50", "AP75"), strict=True):
        exact = average(drawn, columns_of(name), COCO_RECALLS.tolist(), None)
        assert value == pytest.approx(exact, rel=1e-9)


def test_an_interval_is_students_of_the_logit_by_leaving_out_images(tmp_path, monkeypatch) -> None:
    """One resample has no deviation, so that the jackknife alone counts; here by a loop over the rows."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 1)
    images, names = 22, ("AP50", "AP75")
    split = random_split(images, 3, 6)
    evaluator = build_evaluator("coco", split, CLASSES, "unused", ("boxes",), tmp_path)
    feed(evaluator, split, random_detections(split, 3, 7))
    scores = evaluator.evaluate()["scores"]
    table = scores.outcomes
    assert table is not None
    left_out = [table[table["image"] != image.path] for image in split.images]
    shown = table.loc[table["objects"].fillna(0) > 0, "image"].nunique()
    assert shown < images, "other degrees of freedom"
    for name in names:
        values = np.array([average(rows, columns_of(name), COCO_RECALLS.tolist(), None) for rows in left_out])
        error = ((images - 1) / images * ((values - values.mean()) ** 2).sum()) ** 0.5
        value = scores.metrics[name].value
        reach = student.ppf(0.975, shown - 1) * error * 100 / (value * (100 - value))
        odds = math.log(value / (100 - value))
        expected = [100 / (1 + math.exp(-odds - sign * reach)) for sign in (-1, 1)]
        assert scores.metrics[name].interval == pytest.approx(expected, rel=1e-6)
