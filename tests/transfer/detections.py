"""Random annotated splits and detections on them, and Detectron2's objects for these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from pycocotools import mask as mask_util

from mmbench.data.annotated.types import AnnotatedImage, AnnotatedSplit, Box, Instance
from mmbench.transfer.dense.detection.evaluation import build_evaluator

Found = list[dict[str, Any]]  # one per image: boxes (N, 4), scores, labels, masks, keypoints


def random_split(
    images: int, classes: int, seed: int, *, side: int = 200, keypoints: int = 0
) -> AnnotatedSplit:
    """Objects of all sizes with whole edges; some crowd, some difficult, some images empty."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(images):
        instances = []
        for _ in range(int(rng.integers(0, 6))):
            left, top = (float(value) for value in rng.integers(0, side - 20, 2))
            width, height = (float(value) for value in rng.integers(8, 150, 2))
            right, bottom = min(left + width, side), min(top + height, side)
            points = rng.uniform((left, top, 0), (right, bottom, 3), (keypoints, 3))
            points[:, 2] = np.floor(points[:, 2])
            instances.append(
                Instance(
                    label=int(rng.integers(classes)),
                    box=(left, top, right, bottom),
                    area=(right - left) * (bottom - top),
                    crowd=bool(rng.random() < 0.08),
                    difficult=bool(rng.random() < 0.15),
                    segmentation=[[left, top, right, top, right, bottom, left, bottom]],
                    keypoints=tuple(points.flatten().tolist()) if keypoints else None,
                )
            )
        # Neither in order nor numbers: what a data set calls its images must not matter.
        made.append(
            AnnotatedImage(f"{number}.png", f"odd name/{images - number}", side, side, tuple(instances))
        )
    return AnnotatedSplit(Path("nowhere"), tuple(made), ())


def random_detections(split: AnnotatedSplit, classes: int, seed: int) -> Found:
    """Near copies of objects, duplicates of them, wrong labels and boxes anywhere."""
    rng = np.random.default_rng(seed)
    found: Found = []
    for image in split.images:
        boxes: list[Box] = []
        labels, points = [], []
        for instance in image.instances:
            for _ in range(int(rng.integers(0, 4))):
                edges = np.array(instance.box) + rng.normal(0, 5, 4)
                left, right = sorted(edges[[0, 2]].clip(0, image.width))
                top, bottom = sorted(edges[[1, 3]].clip(0, image.height))
                boxes.append((left, top, right + 1, bottom + 1))
                labels.append(instance.label if rng.random() < 0.8 else int(rng.integers(classes)))
                near = np.array(instance.keypoints or ()).reshape(-1, 3)
                points.append(np.column_stack([near[:, :2] + rng.normal(0, 4, (len(near), 2)), near[:, 2]]))
        for _ in range(int(rng.integers(0, 3))):
            left, top = rng.uniform(0, 150, 2)
            boxes.append((left, top, left + 30, top + 40))
            labels.append(int(rng.integers(classes)))
            points.append(rng.uniform(0, 200, (len(points[0]) if points else 17, 3)))
        masks = np.zeros((len(boxes), image.height, image.width), dtype=bool)
        for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
            mask[int(top) : int(bottom), int(left) : int(right)] = True
        # Few distinct scores: equal ones are common.
        scores = rng.integers(1, 60, len(boxes)) / 60
        found.append({"boxes": boxes, "scores": scores, "labels": labels, "masks": masks, "points": points})
    return found


def nothing(split: AnnotatedSplit) -> Found:
    """No detection on any image."""
    empty: dict[str, Any] = {"boxes": [], "scores": [], "labels": [], "points": []}
    return [
        {**empty, "masks": np.zeros((0, image.height, image.width), dtype=bool)} for image in split.images
    ]


def feed(evaluator: Any, split: AnnotatedSplit, found: Found, *parts: str, own: range | None = None) -> None:
    """Give detections to an evaluator as Detectron2's loop does.

    Args:
        parts: "masks" and "keypoints", where the detector returns some.
        own: the images of this process; default: all.
    """
    evaluator.reset()
    for index in own or range(len(split.images)):
        image, one = split.images[index], found[index]
        instances = Instances((image.height, image.width))
        instances.pred_boxes = Boxes(torch.tensor(one["boxes"], dtype=torch.float32).reshape(-1, 4))
        instances.scores = torch.tensor(one["scores"], dtype=torch.float32)
        instances.pred_classes = torch.tensor(one["labels"], dtype=torch.int64)
        if "masks" in parts:
            instances.pred_masks = torch.from_numpy(one["masks"])
        if "keypoints" in parts:
            instances.pred_keypoints = torch.tensor(np.array(one["points"]), dtype=torch.float32)
        size = {"height": image.height, "width": image.width}
        evaluator.process([{"image_id": index + 1, **size}], [{"instances": instances}])


def encoded(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) as compressed RLE."""
    made = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {**made, "counts": made["counts"].decode()}


def score_in_two(rank: int, folder: str, port: int, classes: tuple[str, ...]) -> None:
    """Score the detections of half of the images each in two processes, and write what each returns."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    split = random_split(21, 4, 0)
    found = random_detections(split, 4, 1)
    evaluator = build_evaluator("voc2007", split, classes, "two", ("boxes", "masks"), Path(folder) / "two")
    feed(evaluator, split, found, "masks", own=(range(11), range(11, 21))[rank])
    scores = evaluator.evaluate()["scores"]
    values = {name: metric.value for name, metric in scores.metrics.items()}
    (Path(folder) / f"{rank}.json").write_text(json.dumps([values, scores.per_class]))
    torch.distributed.destroy_process_group()
