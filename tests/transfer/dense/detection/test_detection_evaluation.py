"""Average precision: pycocotools' numbers, the VOC devkit's definition, and Detectron2 by hand."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import socket
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from detections import encoded, feed, nothing, random_detections, random_split, score_in_two
from detectron2.data import MetadataCatalog
from detectron2.evaluation import PascalVOCDetectionEvaluator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmbench.data.annotated.named_coco import KEYPOINTS
from mmbench.data.annotated.types import AnnotatedImage, AnnotatedSplit, Instance
from mmbench.errors import UserError
from mmbench.transfer.dense.detection.evaluation import build_evaluator
from mmbench.transfer.dense.detection.evaluation.coco import KINDS, coco_eval
from mmbench.transfer.dense.detection.evaluation.ground_truth import coco_ground_truth

CLASSES = ("plain", "with space / slash", "<é> & {0}", "..")


@pytest.fixture
def dataset_name(tmp_path):
    """A name in Detectron2's catalog, removed afterwards."""
    name = f"evaluation/{tmp_path.name}"
    yield name
    MetadataCatalog.pop(name, None)


def in_coco_format(split, found) -> list:
    """The detections as a COCO result file holds them, written down by hand."""
    results = []
    for number, one in enumerate(found, start=1):
        parts = zip(one["boxes"], one["scores"], one["labels"], one["masks"], one["points"], strict=True)
        for (left, top, right, bottom), score, label, mask, points in parts:
            results.append(
                {
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "score": float(score),
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": encoded(mask),
                    "keypoints": np.array(points).flatten().tolist(),
                }
            )
    return results


def official(truth, results, task) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = COCO()
        annotated.dataset = copy.deepcopy(truth)
        annotated.createIndex()
        results = copy.deepcopy(results)
        for item in results:
            for part in {"boxes": ("segmentation", "keypoints"), "masks": ("bbox",)}.get(task, ()):
                del item[part]
        evaluated = COCOeval(annotated, annotated.loadRes(results), KINDS[task])
        evaluated.evaluate()
        evaluated.accumulate()
        evaluated.summarize()
    return evaluated


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("task", ["boxes", "masks", "keypoints"])
def test_every_number_is_that_of_pycocotools(task, seed) -> None:
    split = random_split(40, 4, seed, keypoints=17)
    results = in_coco_format(split, random_detections(split, 4, seed + 100))
    truth = coco_ground_truth(split, CLASSES, ("boxes", "masks", "keypoints"))
    expected = official(truth, results, task)
    evaluated = coco_eval(truth, results, task)
    assert len(expected.stats) == (10 if task == "keypoints" else 12)
    np.testing.assert_allclose(evaluated.stats[: len(expected.stats)], expected.stats, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        np.asarray(evaluated.eval["precision"]).reshape(expected.eval["precision"].shape),
        expected.eval["precision"],
        rtol=0,
        atol=1e-12,
    )


def test_coco_scores_by_size_and_class(tmp_path) -> None:
    split = random_split(40, 4, 0, keypoints=17)
    found = random_detections(split, 4, 1)
    evaluator = build_evaluator("coco", split, CLASSES, "unused", ("boxes", "masks", "keypoints"), tmp_path)
    feed(evaluator, split, found, "masks", "keypoints")
    scores = evaluator.evaluate()["scores"]
    truth = json.loads((tmp_path / "ground_truth.json").read_text())
    results = json.loads((tmp_path / "coco_instances_results.json").read_text())
    sizes = ("AP", "AP50", "AP75", "APs", "APm", "APl")
    expected = {}
    for task, prefix, names in (
        ("boxes", "", sizes),
        ("masks", "mask_", sizes),
        ("keypoints", "keypoint_", [name for name in sizes if name != "APs"]),
    ):
        stats = official(truth, results, task).stats
        expected |= {prefix + name: 100 * value for name, value in zip(names, stats, strict=False)}
    assert {name: metric.value for name, metric in scores.metrics.items()} == pytest.approx(expected)
    assert all(metric.n == 40 and metric.higher_is_better for metric in scores.metrics.values())
    precision = official(truth, results, "boxes").eval["precision"][:, :, :, 0, -1]
    assert scores.per_class == pytest.approx(
        {name: 100 * precision[:, :, label].mean() for label, name in enumerate(CLASSES)}
    )
    assert scores.notes == ()


def voc_by_definition(split, found, label, threshold) -> float:
    """The VOC 2007 devkit's average precision of one class, in plain loops, on what Detectron2 writes down.

    A detection belongs to the object that it overlaps most (pixels counted inclusively); above the threshold
    it is right once, wrong when the object was found before, and left out where the object is difficult.
    """
    objects, taken, total = {}, {}, 0
    for number, image in enumerate(split.images):
        objects[number] = [item for item in image.instances if item.label == label]
        taken[number] = [False] * len(objects[number])
        total += sum(not (item.difficult or item.crowd) for item in objects[number])
    rows = []
    for number, one in enumerate(found):
        for box, score, kind in zip(one["boxes"], one["scores"], one["labels"], strict=True):
            if kind == label:
                left, top, right, bottom = (np.float32(value) for value in box)
                edges = [float(f"{value:.1f}") for value in (left + 1, top + 1, right, bottom)]
                rows.append((float(f"{np.float32(score):.3f}"), number, edges))
    # Detectron2 sorts with NumPy's default order of equal scores.
    order = np.argsort(-np.array([row[0] for row in rows])) if rows else []
    right_so_far = wrong_so_far = 0
    curve = []
    for position in order:
        _, number, edges = rows[position]
        best, best_index = -1.0, -1
        for index, item in enumerate(objects[number]):
            left, top, right, bottom = item.box[0] + 1, item.box[1] + 1, item.box[2], item.box[3]
            width = min(edges[2], right) - max(edges[0], left) + 1
            height = min(edges[3], bottom) - max(edges[1], top) + 1
            if width > 0 and height > 0:
                shared = width * height
                area = (edges[2] - edges[0] + 1) * (edges[3] - edges[1] + 1)
                overlap = shared / (area + (right - left + 1) * (bottom - top + 1) - shared)
                if overlap > best:
                    best, best_index = overlap, index
        if best > threshold:
            item = objects[number][best_index]
            if not (item.difficult or item.crowd):
                if taken[number][best_index]:
                    wrong_so_far += 1
                else:
                    taken[number][best_index] = True
                    right_so_far += 1
        else:
            wrong_so_far += 1
        seen = right_so_far + wrong_so_far
        curve.append((right_so_far, right_so_far / seen if seen else 0.0))
    precision = 0.0
    for tenth in range(11):
        # np.arange(0, 1.1, 0.1): what the devkit's port compares recall with.
        reached = [value for hits, value in curve if hits / total >= float(np.arange(0.0, 1.1, 0.1)[tenth])]
        precision += max(reached, default=0.0) / 11
    return precision


@pytest.mark.parametrize("seed", range(3))
def test_voc_is_the_devkit_and_detectron2_by_hand(tmp_path, dataset_name, seed) -> None:
    split = random_split(40, 4, seed)
    found = random_detections(split, 4, seed + 100)
    found[3] = nothing(split)[3]
    evaluator = build_evaluator("voc2007", split, CLASSES, dataset_name, ("boxes",), tmp_path)
    feed(evaluator, split, found)
    scores = evaluator.evaluate()["scores"]

    by_hand = np.array(
        [
            [voc_by_definition(split, found, label, threshold / 100) for threshold in range(50, 100, 5)]
            for label in range(4)
        ]
    )
    values = {name: metric.value for name, metric in scores.metrics.items()}
    assert values["AP"] == pytest.approx(100 * by_hand.mean(), abs=1e-9)
    assert values["AP50"] == pytest.approx(100 * by_hand[:, 0].mean(), abs=1e-9)
    assert values["AP75"] == pytest.approx(100 * by_hand[:, 5].mean(), abs=1e-9)
    assert scores.per_class == pytest.approx(dict(zip(CLASSES, 100 * by_hand.mean(axis=1), strict=True)))
    assert 5 < values["AP"] < 95

    # Detectron2's own evaluator writes files named after classes; give it names that it can write.
    (tmp_path / "plain").mkdir()
    plain = f"{dataset_name}/plain"
    names = ["zero", "one", "two", "three"]
    ours = build_evaluator("voc2007", split, names, plain, ("boxes",), tmp_path / "plain")
    feed(ours, split, found)
    again = ours.evaluate()["scores"].metrics
    theirs = PascalVOCDetectionEvaluator(plain)
    feed(theirs, split, found)
    expected = theirs.evaluate()["bbox"]
    MetadataCatalog.pop(plain)
    for name in ("AP", "AP50", "AP75"):
        assert again[name].value == pytest.approx(expected[name], abs=1e-9)
        assert values[name] == pytest.approx(expected[name], abs=1e-9), "names of classes change nothing"


def test_voc_has_coco_beside_it(tmp_path, dataset_name) -> None:
    split = random_split(30, 4, 5)
    found = random_detections(split, 4, 6)
    values = {}
    for kind in ("coco", "voc2007"):
        evaluator = build_evaluator(
            kind, split, CLASSES, dataset_name, ("boxes", "masks"), tmp_path / "{0}" / kind
        )
        feed(evaluator, split, found, "masks")
        values[kind] = evaluator.evaluate()["scores"].metrics
    for name in ("AP", "AP50", "AP75"):
        assert values["voc2007"][f"coco_{name}"] == values["coco"][name]
        assert values["voc2007"][f"mask_{name}"] == values["coco"][f"mask_{name}"]
        assert values["voc2007"][name] != values["coco"][name]


def test_voc_files_are_whole_pixels_from_1(tmp_path, dataset_name) -> None:
    split = random_split(12, 4, 2)
    evaluator = build_evaluator("voc2007", split, CLASSES, dataset_name, ("boxes",), tmp_path)
    feed(evaluator, split, nothing(split))
    scores = evaluator.evaluate()["scores"]
    assert {metric.value for metric in scores.metrics.values()} == {0.0}
    assert scores.notes == ("nothing was detected, so every average precision is 0",)
    folder = tmp_path / "voc"
    assert (folder / "ImageSets/Main/evaluated.txt").read_text().split() == [str(n) for n in range(1, 13)]
    for number, image in enumerate(split.images, start=1):
        objects = ElementTree.parse(folder / "Annotations" / f"{number}.xml").findall("object")
        assert len(objects) == len(image.instances)
        for node, instance in zip(objects, image.instances, strict=True):
            edges = [int(node.findtext(f"bndbox/{edge}") or "") for edge in ("xmin", "ymin", "xmax", "ymax")]
            left, top, right, bottom = instance.box
            assert edges == [left + 1, top + 1, right, bottom]
            assert node.findtext("name") == CLASSES[instance.label]
            assert node.findtext("difficult") == str(int(instance.difficult or instance.crowd))


def test_the_same_folder_again_is_not_read_from_memory(tmp_path, dataset_name) -> None:
    values = []
    for seed in (0, 1):
        split = random_split(10, 4, seed)
        found = random_detections(split, 4, seed)
        evaluator = build_evaluator("voc2007", split, CLASSES, dataset_name, ("boxes",), tmp_path)
        feed(evaluator, split, found)
        values.append(evaluator.evaluate()["scores"].metrics["AP"].value)
    fresh = build_evaluator("voc2007", split, CLASSES, f"{dataset_name}/2", ("boxes",), tmp_path / "fresh")
    feed(fresh, split, found)
    MetadataCatalog.pop(f"{dataset_name}/2")
    assert values[1] == fresh.evaluate()["scores"].metrics["AP"].value != values[0]


def small(*instances: Instance) -> AnnotatedSplit:
    return AnnotatedSplit(Path("data"), (AnnotatedImage("a.png", "a", 64, 64, instances),), ())


def test_sizes_and_classes_without_objects_are_absent(tmp_path, dataset_name) -> None:
    split = small(Instance(0, (2, 2, 12, 12), 100.0))
    found = [{"boxes": [(2, 2, 12, 12)], "scores": [0.9], "labels": [0]}]
    evaluator = build_evaluator("coco", split, CLASSES, "unused", ("boxes",), tmp_path)
    feed(evaluator, split, found)
    scores = evaluator.evaluate()["scores"]
    assert {name: metric.value for name, metric in scores.metrics.items()} == pytest.approx(
        {"AP": 100, "AP50": 100, "AP75": 100, "APs": 100}
    )
    assert scores.per_class == pytest.approx({"plain": 100})

    evaluator = build_evaluator("voc2007", split, CLASSES, dataset_name, ("boxes",), tmp_path)
    feed(evaluator, split, found)
    scores = evaluator.evaluate()["scores"]
    assert scores.metrics["AP"].value == pytest.approx(25), (
        "as Detectron2: classes without objects enter with 0"
    )
    assert scores.metrics["coco_AP"].value == pytest.approx(100)
    assert scores.per_class == pytest.approx({"plain": 100})
    assert "3 of 4 classes" in scores.notes[0]


@pytest.mark.parametrize(
    ("split", "tasks", "words"),
    [
        (small(), ("boxes",), "no object that counts"),
        (small(Instance(0, (2, 2, 12, 12), 100.0, crowd=True)), ("boxes",), "no object that counts"),
        (small(Instance(0, (2, 2, 12, 12), 100.0, difficult=True)), ("boxes",), "no object that counts"),
        (small(Instance(0, (2, 2, 12, 12), 100.0)), ("boxes", "masks"), "1 of 1 objects .* no mask"),
        (small(Instance(0, (2, 2, 12, 12), 100.0)), ("boxes", "keypoints"), "no object .* labelled keypoint"),
    ],
)
def test_what_cannot_be_scored_is_refused(tmp_path, split, tasks, words) -> None:
    with pytest.raises(UserError, match=words):
        build_evaluator("coco", split, CLASSES, "unused", tasks, tmp_path)


@pytest.mark.parametrize("broken", [{"scores": [math.nan]}, {"boxes": [(2, 2, math.inf, 12)]}])
def test_scores_that_are_not_finite_are_refused(tmp_path, broken) -> None:
    split = small(Instance(0, (2, 2, 12, 12), 100.0))
    evaluator = build_evaluator("coco", split, CLASSES, "unused", ("boxes",), tmp_path)
    feed(evaluator, split, [{"boxes": [(2, 2, 12, 12)], "scores": [0.9], "labels": [0], **broken}])
    with pytest.raises(UserError, match="not finite"):
        evaluator.evaluate()


def test_crowds_without_mask_and_bytes_are_scored(tmp_path) -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[2:12, 2:12] = True
    rle = {**encoded(mask), "counts": encoded(mask)["counts"].encode()}
    split = small(
        Instance(0, (2, 2, 12, 12), 100.0, segmentation=rle),
        Instance(0, (30, 30, 60, 60), 900.0, crowd=True),
    )
    inside = np.zeros((64, 64), dtype=bool)
    inside[40:50, 40:50] = True
    found = [
        {
            "boxes": [(40, 40, 50, 50), (2, 2, 12, 12)],
            "scores": [0.9, 0.8],
            "labels": [0, 0],
            "masks": np.stack([inside, mask]),
        }
    ]
    evaluator = build_evaluator("coco", split, CLASSES, "unused", ("boxes", "masks"), tmp_path)
    feed(evaluator, split, found, "masks")
    metrics = evaluator.evaluate()["scores"].metrics
    assert metrics["AP"].value == metrics["mask_AP"].value == pytest.approx(100)


def test_other_numbers_of_keypoints_have_equal_tolerances(tmp_path) -> None:
    split = random_split(20, 2, 0, keypoints=5)
    found = random_detections(split, 2, 1)
    for one in found:
        one["points"] = [np.array(points)[:5] for points in one["points"]]
    evaluator = build_evaluator("coco", split, CLASSES, "unused", ("boxes", "keypoints"), tmp_path)
    feed(evaluator, split, found, "keypoints")
    scores = evaluator.evaluate()["scores"]
    assert 0 < scores.metrics["keypoint_AP"].value < 100
    assert any("5 keypoints" in note for note in scores.notes)


def test_17_keypoints_of_others_have_equal_tolerances(tmp_path) -> None:
    split = random_split(20, 2, 0, keypoints=17)
    found = random_detections(split, 2, 1)
    scores = {}
    animal = [f"point{number}" for number in "abcdefghijklmnopq"]
    spelt = [name.replace("_", " ").title() for name in KEYPOINTS]
    for name, names in (("unnamed", ()), ("coco", spelt), ("animal", animal), ("turned", KEYPOINTS[::-1])):
        tasks = ("boxes", "keypoints")
        evaluator = build_evaluator("coco", split, CLASSES, "unused", tasks, tmp_path / name, names)
        feed(evaluator, split, found, "keypoints")
        scores[name] = evaluator.evaluate()["scores"]
    values = {name: score.metrics["keypoint_AP"].value for name, score in scores.items()}
    assert values["unnamed"] == values["coco"] != values["animal"] == values["turned"]
    noted = {name: any("1/17 each" in note for note in score.notes) for name, score in scores.items()}
    assert noted == {"unnamed": False, "coco": False, "animal": True, "turned": True}


def test_two_processes_score_as_one(tmp_path, dataset_name) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Forked, for importing Detectron2 once more takes half a minute.
    torch.multiprocessing.start_processes(
        score_in_two, (str(tmp_path), port, CLASSES), nprocs=2, start_method="fork"
    )
    split = random_split(21, 4, 0)
    evaluator = build_evaluator("voc2007", split, CLASSES, dataset_name, ("boxes", "masks"), tmp_path / "one")
    feed(evaluator, split, random_detections(split, 4, 1), "masks")
    scores = evaluator.evaluate()["scores"]
    values = {name: metric.value for name, metric in scores.metrics.items()}
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == [values, scores.per_class]
