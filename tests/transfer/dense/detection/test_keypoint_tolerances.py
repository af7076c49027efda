"""Tolerances that a user states for keypoints: COCO's definition in plain loops, and their record."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detections import feed, random_detections, random_split

from mmbench.data.annotated.types import AnnotatedData
from mmbench.errors import UserError
from mmbench.records.store import config_digest
from mmbench.transfer.dense.detection.evaluation import build_evaluator
from mmbench.transfer.dense.detection.evaluation.coco import CocoEvaluator
from mmbench.transfer.dense.detection.evaluation.matching import coco_parts
from mmbench.transfer.dense.detection.evaluation.parts import COCO_RECALLS
from mmbench.transfer.dense.detection.evaluation.tolerances import tolerances_of
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.dense.detection.splits import check_sigmas
from mmbench.transfer.resolution import resolve_task

NAMES, SIGMAS = ("head", "tail", "hip"), (0.02, 0.1, 0.3)
KEYPOINT = {"detector": "keypoint"}


def similarity(truth: dict[str, Any], found: dict[str, Any], sigmas: tuple[float, ...]) -> float:
    """OKS of a detection with an object that has a visible keypoint."""
    total, visible = 0.0, 0
    for index, sigma in enumerate(sigmas):
        x, y, seen = truth["keypoints"][3 * index : 3 * index + 3]
        if seen > 0:
            across, down = found["keypoints"][3 * index] - x, found["keypoints"][3 * index + 1] - y
            area = truth["area"] + np.spacing(1)
            total += math.exp(-(across**2 + down**2) / (8 * sigma**2 * area))
            visible += 1
    return total / visible


def precision(truth: dict[str, Any], found: list[dict[str, Any]], sigmas: tuple[float, ...]) -> float:
    """AP over OKS .50:.05:.95 of one class without crowds, whose objects all have a visible keypoint."""
    values = []
    for step in range(10):
        threshold, ranked, objects = 0.5 + 0.05 * step, [], len(truth["annotations"])
        for image in truth["images"]:
            there = [one for one in truth["annotations"] if one["image_id"] == image["id"]]
            own = sorted(
                (one for one in found if one["image_id"] == image["id"]), key=lambda one: -one["score"]
            )
            taken: set[int] = set()
            for one in own[:20]:
                best, at = min(threshold, 1 - 1e-10), None
                for index, thing in enumerate(there):
                    if index not in taken and similarity(thing, one, sigmas) >= best:
                        best, at = similarity(thing, one, sigmas), index
                taken |= set() if at is None else {at}
                ranked.append((one["score"], at is not None))
        ranked.sort(key=lambda pair: -pair[0])
        right, points = 0, []
        for place, (_, hit) in enumerate(ranked, start=1):
            right += hit
            points.append((right / objects, right / place))
        for recall in np.linspace(0, 1, 101):
            values.append(max((high for reached, high in points if reached >= recall), default=0.0))
    return 100 * sum(values) / len(values)


@pytest.mark.parametrize("seed", range(3))
def test_stated_tolerances_give_the_ap_of_the_definition(tmp_path: Path, seed: int) -> None:
    split = random_split(12, 1, seed, keypoints=3)
    images = []
    for image in split.images:
        things = [
            dataclasses.replace(
                one,
                crowd=False,
                difficult=False,
                keypoints=tuple(
                    2.0 if index == 2 else value for index, value in enumerate(one.keypoints or ())
                ),
            )
            for one in image.instances
        ]
        images.append(dataclasses.replace(image, instances=tuple(things)))
    split = dataclasses.replace(split, images=tuple(images))
    found = random_detections(split, 1, seed + 10)
    for number, one in enumerate(found):
        one["points"] = [np.array(points)[:3] for points in one["points"]]
        one["scores"] = [
            (100 * number + place + 1) * 7919 % 1201 / 1201 for place in range(len(one["boxes"]))
        ]
    values = {}
    for name, sigmas in (("stated", SIGMAS), ("turned", SIGMAS[::-1]), ("usual", ())):
        tasks, folder = ("boxes", "keypoints"), tmp_path / name
        evaluator = build_evaluator("coco", split, ("animal",), "unused", tasks, folder, NAMES, sigmas)
        feed(evaluator, split, found, "keypoints")
        scores = evaluator.evaluate()["scores"]
        truth = json.loads((folder / "ground_truth.json").read_text())
        results = json.loads((folder / "coco_instances_results.json").read_text())
        assert len(truth["annotations"]) > 20 and len({one["score"] for one in results}) == len(results)
        values[name] = scores.metrics["keypoint_AP"].value
        assert values[name] == pytest.approx(precision(truth, results, sigmas or (1 / 3,) * 3), abs=1e-9)
        # The parts of the interval are matched by another library, and must be matched alike.
        parts = coco_parts(truth, results, "keypoints", sigmas or (1 / 3,) * 3)
        once = parts.statistic(COCO_RECALLS, absent=math.nan)(np.ones((1, len(images))))[0]
        assert once[0] == pytest.approx(values[name], abs=1e-9)
        noted = any("keypoint_sigmas: head 0.02, tail 0.1, hip 0.3" in note for note in scores.notes)
        assert noted == (name == "stated")
    assert len(set(values.values())) == 3


def settings_of(**stated: Any) -> DetectionSettings:
    task = resolve_task("detection", "detection/own@1", stated)
    task.require_effects()
    settings = task.settings
    assert isinstance(settings, DetectionSettings)
    return settings


def test_stated_tolerances_are_recorded_and_make_another_configuration() -> None:
    usual, stated = settings_of(**KEYPOINT), settings_of(**KEYPOINT, keypoint_sigmas=list(SIGMAS))
    assert "keypoint_sigmas" not in usual.recorded()  # as in records before this setting
    assert stated.recorded() == {**usual.recorded(), "keypoint_sigmas": list(SIGMAS)}
    digests = {config_digest(settings.recorded()) for settings in (usual, stated)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({**KEYPOINT, "keypoint_sigmas": [0.1, 0]}, "must be a finite number from 0.001 to 1"),
        ({**KEYPOINT, "keypoint_sigmas": [0.1, -0.1]}, "must be a finite number from 0.001 to 1"),
        ({**KEYPOINT, "keypoint_sigmas": [0.1, math.nan]}, "must be"),
        ({**KEYPOINT, "keypoint_sigmas": 0.1}, "keypoint_sigmas"),
        ({"keypoint_sigmas": [0.1]}, "has no effect with detector=fpn; omit it, or set detector=keypoint"),
        ({**KEYPOINT, "TEST.KEYPOINT_OKS_SIGMAS": [0.1]}, "use --set keypoint_sigmas=..."),
    ],
)
def test_other_tolerances_are_refused(stated: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError) as caught:
        settings_of(**stated)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_each_keypoint_needs_one() -> None:
    data = AnnotatedData("own", Path("/data"), "COCO", ("cat",), {}, (), NAMES)
    check_sigmas(data, settings_of(**KEYPOINT, keypoint_sigmas=list(SIGMAS)))
    check_sigmas(data, settings_of(**KEYPOINT))
    reason = (
        r"^keypoint_sigmas has 2 numbers, and data set 'own' has 3 keypoints; state one for each of head, "
        r"tail, hip$"
    )
    with pytest.raises(UserError, match=reason):
        check_sigmas(data, settings_of(**KEYPOINT, keypoint_sigmas=[0.1, 0.2]))


def test_vocs_evaluation_has_them_too(tmp_path: Path) -> None:
    split = random_split(3, 1, 0, keypoints=3)
    tasks = ("boxes", "keypoints")
    evaluator: Any = build_evaluator("voc2007", split, ("cat",), "unused", tasks, tmp_path, NAMES, SIGMAS)
    found = [value for value in vars(evaluator).values() if isinstance(value, CocoEvaluator)]
    assert [one.sigmas for one in found] == [SIGMAS]


def test_unnamed_keypoints_are_numbered_in_the_note() -> None:
    assert tolerances_of(2, (), (0.1, 0.2)).note == "keypoint AP by keypoint_sigmas: 1 0.1, 2 0.2"
