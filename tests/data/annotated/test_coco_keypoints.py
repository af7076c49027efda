"""Keypoints of COCO files as people have them: what is refused, what is counted, and what is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from detectron2.data.detection_utils import transform_keypoint_annotations
from detectron2.data.transforms import NoOpTransform, TransformList
from PIL import Image

from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.layout import find_own
from mmbench.data.annotated.types import AnnotatedSplit
from mmbench.errors import UserError

WIDTH, HEIGHT, OBJECTS = 48, 40, 4
POINTS = [10, 11, 2, 30, 12, 1, 0, 0, 0]  # of each object, before a test changes it
NUMBERS = "x, y and visibility of 3 keypoints are needed, as finite numbers; what is not labelled has 0, 0, 0"
Change = Callable[[dict[str, Any]], object]


def read(root: Path, change: Change, split: str = "test") -> AnnotatedSplit:
    """Write both splits, two images with two objects each, and read one after a change of its content."""
    for name in ("train", "test"):
        (root / name).mkdir(exist_ok=True)
        content: dict[str, Any] = {"images": [], "annotations": []}
        content["categories"] = [{"id": 1, "name": "fox", "keypoints": ["head", "tail", "hip"]}]
        for number in range(2):
            Image.new("RGB", (WIDTH, HEIGHT), (number, len(name), 0)).save(root / name / f"{number}.png")
            entry = {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
            content["images"].append(entry)
        for number in range(OBJECTS):
            box = {"bbox": [2 + number, 3, 36, 30], "area": 36 * 30, "iscrowd": 0}
            points = {"keypoints": list(POINTS), "num_keypoints": 2}
            content["annotations"].append(
                {"id": number, "image_id": number % 2, "category_id": 1} | box | points
            )
        if name == split:
            change(content)
        (root / f"{name}.json").write_text(json.dumps(content))
    data = find_own(root, "coco").annotated
    assert data is not None
    return data.split(split)  # type: ignore[arg-type]


def first(*points: Any) -> Change:
    """Return a change of the keypoints of the first object, which is in 0.png."""
    return lambda content: content["annotations"][0].update(keypoints=list(points))


def refusal(split: AnnotatedSplit) -> str:
    with pytest.raises(UserError) as error:
        require_usable(split.findings)
    return str(error.value)


def said(split: AnnotatedSplit) -> list[str]:
    return [finding.line() for finding in split.findings]


def test_sound_keypoints_need_no_line(tmp_path: Path) -> None:
    split = read(tmp_path, lambda _: None)
    assert said(split) == []
    assert [thing.keypoints for image in split.images for thing in image.instances] == [tuple(POINTS)] * 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, "7", True, None, [7]])
@pytest.mark.parametrize("place", [0, 4, 6], ids=["x of a visible one", "y of a hidden one", "unlabelled"])
def test_coordinates_that_are_not_finite_numbers_are_refused(
    tmp_path: Path, value: object, place: int
) -> None:
    points: list[Any] = list(POINTS)
    points[place] = value
    split = read(tmp_path, first(*points))
    assert refusal(split) == f"test: 1 object with damaged keypoints (test/0.png) refused: {NUMBERS}"


@pytest.mark.parametrize("points", ["101112012", {}, [POINTS], POINTS[:-1], [10, 11, 30, 12, 0, 0], ""])
def test_keypoints_that_are_not_a_list_of_their_numbers_are_refused(tmp_path: Path, points: Any) -> None:
    split = read(tmp_path, lambda content: content["annotations"][0].update(keypoints=points))
    assert refusal(split) == f"test: 1 object with damaged keypoints (test/0.png) refused: {NUMBERS}"


@pytest.mark.parametrize("sizes", [True, False], ids=["sizes stated", "no sizes"])
def test_keypoints_as_fractions_are_refused(tmp_path: Path, sizes: bool) -> None:
    def change(content: dict[str, Any]) -> None:
        for number, thing in enumerate(content["annotations"] * 3):
            points = [0.2, 0.31, 2, 0.64 + number / 10, 0.5, 1, 0, 0, 1]  # one beside its image, one at 0, 0
            content["annotations"].append({**thing, "id": 9 + number, "keypoints": points})
        del content["annotations"][:OBJECTS]
        content["annotations"][0]["keypoints"][0] = 3.2
        if not sizes:
            for image in content["images"]:
                del image["width"]

    assert refusal(read(tmp_path, change)).startswith(
        "test: 1 file whose keypoints are fractions of the image (23 of 24 labelled keypoints) refused: "
        "COCO's keypoints are pixels; convert them"
    )


def test_keypoints_in_the_corner_of_images_are_no_fractions(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for thing in content["annotations"]:
            thing.update(keypoints=[1, 1, 2, 0, 1, 2, 0, 0, 2])

    assert said(read(tmp_path, change)) == []


@pytest.mark.parametrize("visibility", [3, -1, 1.5, float("nan"), True, "2"])
def test_other_visibilities_than_those_of_coco_are_refused(tmp_path: Path, visibility: Any) -> None:
    words = refusal(read(tmp_path, first(10, 11, 2, 30, 12, visibility, 0, 0, 0)))
    if visibility in (3, -1, 1.5):
        assert words == (
            "test: 1 object whose keypoints have another visibility than 0, 1 or 2 "
            f"({visibility} in test/0.png) refused: write 0 for what is not labelled, 1 for what is hidden, "
            "and 2 for what is seen"
        )
    else:
        assert words == f"test: 1 object with damaged keypoints (test/0.png) refused: {NUMBERS}"


def test_labelled_keypoints_outside_their_image_are_counted_and_kept(tmp_path: Path) -> None:
    """Detectron2 trains on those whose place, half a pixel more than COCO's number, is in the image."""
    inside = (-0.5, 20, 2, WIDTH - 0.5, HEIGHT - 0.5, 1, 500, -7, 0)  # the last one is not labelled
    outside = (-0.51, 20, 2, 20, HEIGHT, 1, WIDTH + 900, -3, 2)

    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["keypoints"] = list(inside)
        content["annotations"][1]["keypoints"] = list(outside)

    split = read(tmp_path, change)
    assert said(split) == [
        "test: 3 labelled keypoints outside their images (test/1.png) kept: not trained on; in evaluation "
        "they count, as in COCO's"
    ]
    assert [image.instances[0].keypoints for image in split.images] == [inside, outside]
    for points, kept in ((inside, [2, 1, 0]), (outside, [0, 0, 0])):
        places = [value if place % 3 == 2 else value + 0.5 for place, value in enumerate(points)]
        trained = transform_keypoint_annotations(places, TransformList([NoOpTransform()]), (HEIGHT, WIDTH))
        assert trained[:, 2].tolist() == kept
