"""COCO files as people have them: each case, what is done about it, and the objects that are read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmbench.data.annotated.coco import CocoSource, coco_data
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.remarks import checked_remarks
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.images.decoding import open_rgb
from mmbench.data.images.image_places import StoredImage
from mmbench.data.types import Split
from mmbench.errors import MissingExtraError, UserError

NAMES = ("cat", "dog", "bus")
SIZE = 64
Content = dict[str, Any]
# Per split: image -> label, left, top, width, height. Every class is in each split.
TRUTH: dict[str, dict[str, list[tuple[int, int, int, int, int]]]] = {
    "train": {
        "a": [(0, 2, 3, 20, 24), (1, 30, 30, 18, 30)],
        "b": [(2, 10, 0, 30, 20)],
        "c": [(1, 0, 40, 24, 24), (0, 40, 1, 20, 18)],
        "d": [(2, 33, 20, 25, 30), (2, 1, 1, 19, 19)],
    },
    "test": {
        "e": [(0, 5, 6, 20, 20), (1, 30, 8, 22, 26)],
        "f": [(2, 12, 12, 40, 28), (0, 0, 44, 18, 20)],
    },
}


class Own:
    """A data set in the layout of `Scenes`, and the objects that it should be read as."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.truth = {
            split: {
                f"images/{split}/{name}.png": [
                    (label, (float(x), float(y), float(x + w), float(y + h))) for label, x, y, w, h in objects
                ]
                for name, objects in images.items()
            }
            for split, images in TRUTH.items()
        }
        for split, images in TRUTH.items():
            self._build(split, images)

    def _build(self, split: str, images: dict[str, list[tuple[int, int, int, int, int]]]) -> None:
        folder = self.root / "images" / split
        folder.mkdir(parents=True)
        content: Content = {"images": [], "annotations": []}
        content["categories"] = [{"id": label + 1, "name": name} for label, name in enumerate(NAMES)]
        for number, (name, objects) in enumerate(images.items(), start=1):
            pixels = np.full((SIZE, SIZE, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.png")
            content["images"].append(
                {"id": number, "file_name": f"{name}.png", "width": SIZE, "height": SIZE}
            )
            for label, x, y, w, h in objects:
                content["annotations"].append(
                    {
                        "id": len(content["annotations"]) + 1,
                        "image_id": number,
                        "category_id": label + 1,
                        "bbox": [x, y, w, h],
                        "area": w * h,
                        "iscrowd": 0,
                        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    }
                )
        self.write(split, content)

    def json(self, split: str) -> Path:
        return self.root / "annotations" / f"{split}.json"

    def write(self, split: str, content: Content) -> None:
        self.json(split).parent.mkdir(exist_ok=True)
        self.json(split).write_text(json.dumps(content))

    def change(self, split: str, change: Callable[[Content], object]) -> None:
        content = json.loads(self.json(split).read_text())
        change(content)
        self.write(split, content)

    def each_box(self, change: Callable[[dict[str, Any]], object], *splits: str) -> None:
        for split in splits or ("train", "test"):
            self.change(split, lambda content: [change(box) for box in content["annotations"]])

    def data(self, classes: tuple[str, ...] | None = NAMES) -> AnnotatedData:
        splits: tuple[Split, ...] = ("train", "test")
        sources = {
            split: CocoSource(self.root, f"annotations/{split}.json", f"images/{split}", split)
            for split in splits
        }
        return coco_data("own", sources, classes)

    def lines(self, classes: tuple[str, ...] | None = NAMES) -> list[str]:
        """The findings of both splits, after checking that the objects are the expected ones."""
        data = self.data(classes)
        assert {split: read_back(data.split(split)) for split in data.finders} == self.truth
        findings = [finding for split in data.finders for finding in data.split(split).findings]
        require_usable(findings)
        return [finding.line() for finding in findings]

    def refusal(self, split: Split) -> str:
        with pytest.raises(UserError) as error:
            require_usable(self.data().split(split).findings)
        return str(error.value)


def read_back(split: AnnotatedSplit) -> dict[str, list[tuple[int, tuple[float, ...]]]]:
    return {
        image.path: [(instance.label, instance.box) for instance in image.instances] for image in split.images
    }


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path / "own")


def rle(box: dict[str, Any]) -> dict[str, Any]:
    x, y, w, h = box["bbox"]
    pixels = np.zeros((SIZE, SIZE), np.uint8, order="F")
    pixels[y : y + h, x : x + w] = 1
    code: dict[str, Any] = coco_mask.encode(pixels)
    return {"size": code["size"], "counts": code["counts"].decode()}


def run_lengths(box: dict[str, Any]) -> dict[str, Any]:
    x, y, w, h = box["bbox"]
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    pixels[y : y + h, x : x + w] = 1
    flat = pixels.ravel(order="F")
    edges = np.concatenate(([0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]))
    counts = np.diff(edges).tolist()
    return {"size": [SIZE, SIZE], "counts": [0, *counts] if flat[0] else counts}


def test_a_clean_file_needs_no_line(own: Own) -> None:
    assert own.lines() == [] and own.lines(None) == []
    first = own.data().split("test").images[0].instances[0]
    assert first.area == 400 and first.segmentation == [[5, 6, 25, 6, 25, 26, 5, 26]]


def test_ids_from_zero(own: Own) -> None:
    own.each_box(lambda box: box.update(id=box["id"] - 1))
    assert own.lines() == []


def test_categories_that_are_not_contiguous(own: Own) -> None:
    for split in TRUTH:
        own.change(
            split, lambda content: [item.update(id=7 * item["id"] + 3) for item in content["categories"]]
        )
    own.each_box(lambda box: box.update(category_id=7 * box["category_id"] + 3))
    assert own.lines() == [] and own.lines(None) == []


def test_categories_numbered_otherwise_in_another_split(own: Own) -> None:
    own.change("test", lambda content: [item.update(id=item["id"] - 1) for item in content["categories"]])
    own.each_box(lambda box: box.update(category_id=box["category_id"] - 1), "test")
    assert own.lines() == [] and own.lines(None) == []


def test_categories_in_another_order(own: Own) -> None:
    own.change("test", lambda content: content["categories"].reverse())
    assert own.lines() == [] and own.lines(None) == []


@pytest.mark.parametrize("stated", [True, False], ids=["others name it", "others name none"])
def test_the_root_category_of_exporters_is_not_a_class(own: Own, stated: bool) -> None:
    for split in TRUTH:
        if stated:
            own.change(
                split,
                lambda content: [item.update(supercategory="animals") for item in content["categories"]],
            )
        own.change(
            split,
            lambda content: content["categories"].insert(
                0, {"id": 0, "name": "animals", "supercategory": "none"}
            ),
        )
    assert own.data(None).classes == NAMES
    assert own.lines(None) == [
        f"{split}: 1 category that is not a class and has no boxes (animals) dropped" for split in TRUTH
    ]
    for finding in own.data(("animals", *NAMES)).split("train").findings:
        assert finding.line() == "train: 1 class without any object (animals) kept"


def test_missing_areas_are_computed_from_the_masks(own: Own) -> None:
    own.each_box(lambda box: box.pop("area"))
    own.each_box(lambda box: box.update(segmentation=[[0, 0, 10, 0, 10, 10, 0, 10]]), "test")
    assert own.lines() == [
        "train: 7 objects without an area (images/train/a.png, images/train/b.png, images/train/c.png, ...) "
        "converted: computed from the mask",
        "test: 4 objects without an area (images/test/e.png, images/test/f.png) "
        "converted: computed from the mask",
    ]
    assert {instance.area for image in own.data().split("test").images for instance in image.instances} == {
        100
    }


def test_missing_areas_without_masks_are_those_of_the_boxes(own: Own) -> None:
    own.each_box(lambda box: (box.pop("area"), box.pop("segmentation")), "test")
    assert [line.rpartition(") ")[2] for line in own.lines()] == ["converted: computed from the box"]
    areas = [instance.area for image in own.data().split("test").images for instance in image.instances]
    assert areas == [400, 22 * 26, 40 * 28, 18 * 20]


def test_missing_iscrowd(own: Own) -> None:
    own.each_box(lambda box: box.pop("iscrowd"), "train")
    (line,) = own.lines()
    assert line.startswith("train: 7 objects without iscrowd") and "converted: read as single objects" in line


@pytest.mark.parametrize("encode", [rle, run_lengths], ids=["compressed", "lists"])
def test_masks_as_run_lengths(own: Own, encode: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    own.each_box(lambda box: box.update(segmentation=encode(box)), "test")
    (line,) = own.lines()
    assert line.startswith("test: 4 masks as RLE") and line.endswith(") kept")
    for image in own.data().split("test").images:
        for instance in image.instances:
            assert isinstance(instance.segmentation, dict)
            assert coco_mask.decode(instance.segmentation).sum() == instance.area
            assert list(coco_mask.toBbox(instance.segmentation)[:2]) == list(instance.box[:2])


@pytest.mark.parametrize(
    "damage",
    [
        {"size": [SIZE, SIZE], "counts": "PPYo"},
        {"size": [SIZE, SIZE], "counts": "ä"},
        {"size": [SIZE, SIZE], "counts": [5, 5]},
        {"size": [SIZE, SIZE], "counts": [-1, SIZE * SIZE + 1]},
        {"size": [32, SIZE], "counts": [0, 32 * SIZE]},
        {"size": [SIZE, SIZE]},
        "words",
    ],
)
def test_damaged_masks_are_refused(own: Own, damage: object) -> None:
    own.each_box(lambda box: box.update(segmentation=damage) if box["id"] == 2 else None, "train")
    assert "refused: export the masks again" in own.refusal("train")


@pytest.mark.parametrize("empty", [[], [[]], None, {"size": [SIZE, SIZE], "counts": [SIZE * SIZE]}])
def test_empty_masks_leave_the_box(own: Own, empty: object) -> None:
    own.each_box(lambda box: box.update(segmentation=empty) if box["id"] % 2 else None, "test")
    (line,) = own.lines()
    assert line == (
        "test: 2 objects with an empty mask (images/test/e.png, images/test/f.png) kept: the box is "
        "used, and a run with masks refuses it"
    )
    masks = [instance.segmentation is None for instance in own.data().split("test").images[0].instances]
    assert masks == [True, False]


def test_a_polygon_of_two_corners_is_dropped(own: Own) -> None:
    own.each_box(lambda box: box["segmentation"].append([1, 2, 3, 4]) if box["id"] == 1 else None, "test")
    assert own.lines() == ["test: 1 polygon with fewer than three corners (images/test/e.png) dropped"]


def test_ids_as_text(own: Own) -> None:
    def change(content: Content) -> None:
        for image in content["images"]:
            image["id"] = f"{image['id']:012d}"

    own.change("train", change)  # the annotations still hold numbers
    own.each_box(lambda box: box.update(category_id=str(box["category_id"])))
    (line,) = own.lines()
    assert line.startswith("train: 4 ids as text") and line.endswith("converted: matched as numbers")


def test_ids_of_annotations_that_occur_twice(own: Own) -> None:
    own.each_box(lambda box: box.update(id=(box["id"] + 1) // 2), "train")
    (line,) = own.lines()
    assert line.startswith("train: 3 annotations with the ids of others") and "converted" in line


@pytest.mark.parametrize(
    "path", ["images/train/{}", "/home/someone/labels/{}", "C:\\labels\\{}", "../../{}", "http://host/d/1-{}"]
)
def test_paths_in_file_names(own: Own, path: str) -> None:
    if "1-" in path:
        for image in (own.root / "images" / "train").iterdir():
            image.rename(image.with_name(f"1-{image.name}"))
        own.truth["train"] = {
            key.replace("train/", "train/1-"): boxes for key, boxes in own.truth["train"].items()
        }

    def change(content: Content) -> None:
        for image in content["images"]:
            image["file_name"] = path.format(image["file_name"])

    own.change("train", change)
    (line,) = own.lines()
    assert line.startswith("train: 4 file names with paths that do not exist here") and "converted" in line


def test_endings_in_other_letters(own: Own) -> None:
    (own.root / "images" / "test" / "e.png").rename(own.root / "images" / "test" / "E.PNG")
    own.truth["test"] = {
        "images/test/E.PNG": own.truth["test"]["images/test/e.png"],
        "images/test/f.png": own.truth["test"]["images/test/f.png"],
    }
    assert "converted" in own.lines()[0]


def test_a_missing_image_is_dropped_from_train_and_refused_elsewhere(own: Own) -> None:
    (own.root / "images" / "train" / "b.png").unlink()
    del own.truth["train"]["images/train/b.png"]
    assert own.lines() == ["train: 1 image that is missing (images/train/b.png) dropped: not trained on"]
    (own.root / "images" / "test" / "f.png").unlink()
    assert own.refusal("test") == (
        "test: 1 image that is missing (images/test/f.png) refused: put the files back, or remove "
        "them from the annotations"
    )


@pytest.mark.parametrize("content", [b"", b"hello", "cut"], ids=["empty", "text", "cut"])
def test_a_damaged_image_is_dropped_from_train_and_refused_elsewhere(own: Own, content: bytes | str) -> None:
    for path in (own.root / "images" / "train" / "b.png", own.root / "images" / "test" / "f.png"):
        path.write_bytes(path.read_bytes()[:80] if isinstance(content, str) else content)
    assert "1 image that cannot be decoded (images/test/f.png: " in own.refusal("test")
    (finding,) = own.data().split("train").findings
    assert finding.action == "dropped" and finding.examples[0].startswith("images/train/b.png: ")
    assert [image.name for image in own.data().split("train").images] == ["1", "3", "4"]


def turned(path: Path, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).resize(size).save(path, exif=exif)


def test_phone_images_annotated_as_stored_or_as_displayed(own: Own) -> None:
    """Stored with 80 x 64 pixels, displayed with 64 x 80."""
    for name in "ab":
        turned(own.root / "images" / "train" / f"{name}.png", 6, (80, 64))
    own.change("train", lambda content: content["images"][0].update(width=80, height=64))
    own.change("train", lambda content: content["images"][1].update(width=64, height=80))
    assert own.lines() == [
        "train: 1 image annotated as stored, without its EXIF orientation (images/train/a.png) converted: "
        "the orientation is not applied"
    ]
    first, second = own.data().split("train").images[:2]
    assert (first.width, first.height, first.apply_exif) == (80, 64, False)
    assert (second.width, second.height, second.apply_exif) == (64, 80, True)


def test_a_phone_image_without_a_stated_size(own: Own) -> None:
    turned(own.root / "images" / "train" / "a.png", 6, (80, 64))

    def change(content: Content) -> None:
        del content["images"][0]["width"]
        content["annotations"][0]["bbox"] = [2, 3, 76, 24]  # too wide for 64 x 80

    own.change("train", change)
    own.truth["train"]["images/train/a.png"][0] = (0, (2.0, 3.0, 78.0, 27.0))
    assert [line.partition(" (")[0] for line in own.lines()] == [
        "train: 1 image without a stated size",
        "train: 1 image annotated as stored, without its EXIF orientation",
    ]


def test_a_turned_tiff_annotated_as_stored_is_not_turned(own: Own) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(own.root / "images/train/a.tif", exif=exif)

    def change(content: Content) -> None:
        content["images"][0].update(file_name="a.tif", width=30, height=20)
        for box in content["annotations"][:2]:
            box.update(bbox=[2, 3, 25, 10], area=250, segmentation=[[2, 3, 27, 3, 27, 13, 2, 13]])

    own.change("train", change)
    (line,) = [finding.line() for finding in own.data().split("train").findings]
    assert line == (
        "train: 1 image annotated as stored, without its EXIF orientation (images/train/a.tif) converted: "
        "the orientation is not applied"
    )
    image = own.data().split("train").images[0]
    assert (image.width, image.height, image.apply_exif) == (30, 20, False)
    assert image.instances[0].box == (2, 3, 27, 13)
    place = StoredImage(image.path, (own.root / image.path).read_bytes())
    assert np.array_equal(np.asarray(open_rgb(place, apply_exif=image.apply_exif)), pixels)


def test_an_orientation_that_keeps_the_size(own: Own) -> None:
    turned(own.root / "images" / "train" / "a.png", 3, (SIZE, SIZE))
    (line,) = own.lines()
    assert "kept: read as displayed" in line and own.data().split("train").images[0].apply_exif


def test_another_size_than_stated_is_refused(own: Own) -> None:
    own.change("test", lambda content: content["images"][1].update(width=640, height=480))
    assert own.refusal("test").startswith(
        "test: 1 image of another size than its annotations state (images/test/f.png: 640 x 480 stated, "
        "64 x 64 found) refused: "
    )


def test_exchanged_width_and_height(own: Own) -> None:
    place = own.root / "images" / "train" / "a.png"
    Image.open(place).resize((SIZE, 90)).save(place)
    own.change("train", lambda content: content["images"][0].update(width=90, height=SIZE))
    (line,) = own.lines()
    assert "converted: the size of the file is used" in line
    assert (own.data().split("train").images[0].width, own.data().split("train").images[0].height) == (64, 90)
    own.change("train", lambda content: content["annotations"][0].update(bbox=[2, 3, 80, 24]))
    assert "refused: boxes would be misplaced" in own.refusal("train")


def test_no_stated_size(own: Own) -> None:
    for split in TRUTH:
        own.change(
            split, lambda content: [(image.pop("width"), image.pop("height")) for image in content["images"]]
        )
    first, second = own.lines()
    assert first.startswith("train: 4 images without a stated size") and "converted" in second
    assert {(image.width, image.height) for image in own.data().split("test").images} == {(SIZE, SIZE)}


def test_boxes_without_area(own: Own) -> None:
    own.each_box(lambda box: box["bbox"].__setitem__(2, 0) if box["id"] == 1 else None, "train")
    own.each_box(lambda box: box["bbox"].__setitem__(3, -4) if box["id"] == 2 else None, "train")
    own.truth["train"]["images/train/a.png"] = []
    assert own.lines() == [
        "train: 2 boxes without area (images/train/a.png) dropped",
        "train: 1 image without objects (images/train/a.png) kept: not trained on",
    ]


def test_boxes_outside(own: Own) -> None:
    def change(box: dict[str, Any]) -> None:
        x, y, w, h = box["bbox"]
        box["bbox"] = (
            [x - 30, y, w, h] if box["id"] == 2 else [x + 100, y, w, h] if box["id"] == 3 else box["bbox"]
        )
        if box["id"] == 4:
            box["bbox"] = [x, y, w + 0.01, h + 0.01]  # within the rounding of the file
            box["segmentation"] = []

    own.each_box(change, "test")
    own.truth["test"]["images/test/e.png"][1] = (1, (0.0, 8.0, 22.0, 34.0))
    del own.truth["test"]["images/test/f.png"][0]
    own.truth["test"]["images/test/f.png"][0] = (0, (0.0, 44.0, 18.01, 64.0))
    assert [line.partition(" (")[0] for line in own.lines()] == [
        "test: 1 box outside its image",
        "test: 1 object with an empty mask",
        "test: 1 class without any object",
    ]
    own.each_box(lambda box: box["bbox"].__setitem__(0, -7) if box["id"] == 1 else None, "test")
    own.truth["test"]["images/test/e.png"][0] = (0, (0.0, 6.0, 13.0, 26.0))
    assert (
        own.lines()[0]
        == "test: 1 box partly outside its image (images/test/e.png) converted: clipped to the image"
    )


def test_an_unmasked_box_that_is_clipped_has_the_area_that_is_left(own: Own) -> None:
    own.each_box(lambda box: (box.pop("segmentation"), box["bbox"].__setitem__(0, -10)), "test")
    first = own.data().split("test").images[0].instances[0]
    assert first.box == (0.0, 6.0, 10.0, 26.0) and first.area == 200


@pytest.mark.parametrize("stated", [[1, 2, 3], ["a", 2, 3, 4], {"x": 1}, 7, "5678", [10**400, 2, 3, 4]])
def test_a_box_that_is_not_four_numbers_is_refused(own: Own, stated: object) -> None:
    own.each_box(lambda box: box.update(bbox=stated) if box["id"] == 1 else None, "train")
    assert "1 box that is not four numbers (images/train/a.png) refused" in own.refusal("train")


def test_a_box_that_is_not_finite_is_dropped(own: Own) -> None:
    own.each_box(lambda box: box.update(bbox=[float("nan"), 2, 3, 4]) if box["id"] == 1 else None, "train")
    del own.truth["train"]["images/train/a.png"][0]
    assert own.lines() == ["train: 1 box with a number that is not finite (images/train/a.png) dropped"]


def test_integers_that_no_floating_point_number_holds(own: Own) -> None:
    own.each_box(lambda box: box.update(area=10**400) if box["id"] == 1 else None, "train")
    (line,) = own.lines()
    assert line.endswith("1 object without an area (images/train/a.png) converted: computed from the mask")
    own.each_box(lambda box: box.update(segmentation=[[10**400, 2, 9, 9, 3, 9]]), "test")
    assert "polygons with numbers that are not finite" in own.refusal("test")
    own.each_box(lambda box: box.update(iscrowd=10**400) if box["id"] == 1 else None, "train")
    assert any("1 crowd region" in finding.what for finding in own.data().split("train").findings)


def test_a_missing_box_is_the_extent_of_the_mask(own: Own) -> None:
    own.each_box(lambda box: box.pop("bbox") if box["id"] == 1 else None)
    own.each_box(lambda box: (box.update(segmentation=rle(box)), box.pop("bbox")) if box["id"] == 2 else None)
    own.each_box(lambda box: (box.pop("bbox"), box.pop("segmentation")) if box["id"] == 3 else None, "train")
    own.truth["train"]["images/train/b.png"] = []
    lines = own.lines()
    assert any(
        "train: 2 objects without a box" in line and "the extent of the mask" in line for line in lines
    )
    assert any(
        line.startswith("train: 1 object without box and mask") and "dropped" in line for line in lines
    )


def test_boxes_as_corners_or_fractions_are_refused(own: Own) -> None:
    def corners(box: dict[str, Any]) -> None:
        x, y, w, h = box["bbox"]
        box["bbox"] = [x, y, x + w, y + h]

    own.each_box(corners, "train")
    assert "boxes are left, top, right, bottom (all 7 boxes) refused" in own.refusal("train")
    own.each_box(lambda box: box.update(bbox=[value / SIZE for value in box["bbox"]]), "test")
    assert "boxes are fractions of the image (all 4 boxes) refused" in own.refusal("test")


@pytest.mark.parametrize("sizes", [True, False], ids=["sizes stated", "no sizes"])
def test_boxes_as_fractions_of_which_one_leaves_its_image(own: Own, sizes: bool) -> None:
    def change(content: Content) -> None:
        for box in content["annotations"]:
            box["bbox"] = [value / SIZE for value in box["bbox"]]
        content["annotations"] += [{**content["annotations"][-1], "bbox": [0.1, 0, 0.2, 0.2]}] * 6
        content["annotations"][0]["bbox"] = [0.5, 0.5, 0.6, 0.2]
        for image in content["images"]:
            image.update({"width": SIZE, "height": SIZE} if sizes else {"width": None})

    own.change("train", change)
    assert "boxes are fractions of the image (12 of 13 boxes) refused" in own.refusal("train")


def test_boxes_without_area_are_no_fractions(own: Own) -> None:
    own.each_box(lambda box: box.update(bbox=[0, 0, 0, 0]), "test")
    assert own.refusal("test").startswith("test: 1 split without an object that counts")


def test_a_split_of_crowds_alone_is_refused(own: Own) -> None:
    own.each_box(lambda box: box.update(iscrowd=1), "test")
    assert "split without an object that counts" in own.refusal("test")
    assert own.refusal("test").endswith("(0 more: mmbench data check)") is False


def test_difficult_objects_alone_are_enough_for_training(own: Own) -> None:
    own.each_box(lambda box: box.update(ignore=1))
    require_usable(own.data().split("train").findings)
    assert "split without an object that counts (test) refused" in own.refusal("test")


def test_a_train_split_without_any_image_is_refused(own: Own) -> None:
    for path in (own.root / "images" / "train").iterdir():
        path.unlink()
    assert "split without an object that counts (train) refused" in own.refusal("train")


def test_objects_that_repeat_others_are_kept(own: Own) -> None:
    own.change("test", lambda content: content["annotations"].append({**content["annotations"][0], "id": 9}))
    own.truth["test"]["images/test/e.png"].append(own.truth["test"]["images/test/e.png"][0])
    assert own.lines() == [
        "test: 1 object that repeats another one exactly (images/test/e.png) kept: each counts in evaluation"
    ]


def test_run_lengths_without_pycocotools_are_one_line(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    assert own.lines() == []  # nothing needs it
    own.each_box(lambda box: box.update(segmentation=run_lengths(box)), "test")
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(MissingExtraError, match="needs pycocotools, which is not installed"):
        own.data().split("test")


def test_some_crowds_are_kept(own: Own) -> None:
    own.each_box(lambda box: box.update(iscrowd=1) if box["id"] == 1 else None, "train")
    (line,) = own.lines()
    assert line.startswith("train: 1 crowd region (images/train/a.png) kept")
    assert [instance.crowd for instance in own.data().split("train").images[0].instances] == [True, False]


def test_images_without_objects_are_kept(own: Own) -> None:
    for split in TRUTH:
        own.change(
            split,
            lambda content: content.update(
                annotations=[box for box in content["annotations"] if box["image_id"] != 2]
            ),
        )
        own.truth[split][sorted(own.truth[split])[1]] = []
    assert own.lines()[0] == "train: 1 image without objects (images/train/b.png) kept: not trained on"
    assert own.lines()[1].startswith("test: 1 image without objects (images/test/f.png) kept")


@pytest.mark.parametrize("key", ["ignore", "difficult"])
def test_objects_marked_to_be_ignored_are_difficult(own: Own, key: str) -> None:
    own.each_box(lambda box: box.update({key: int(box["id"] == 3)}), "test")
    (line, other) = own.lines()
    assert line.startswith("test: 1 object marked to be ignored (images/test/f.png) converted: difficult")
    assert other == "test: 1 class without any object (bus) kept"
    assert [instance.difficult for instance in own.data().split("test").images[1].instances] == [True, False]


def test_a_class_without_any_object_is_kept(own: Own) -> None:
    own.change(
        "test",
        lambda content: content.update(
            annotations=[box for box in content["annotations"] if box["category_id"] != 2]
        ),
    )
    del own.truth["test"]["images/test/e.png"][1]
    assert own.lines() == ["test: 1 class without any object (dog) kept"]


def test_an_unknown_category_is_refused(own: Own) -> None:
    own.change("train", lambda content: content["annotations"][0].update(category_id=9))
    assert own.refusal("train") == (
        "train: 1 object of an unknown category (category_id 9 in images/train/a.png) refused: list the "
        "category in 'categories'"
    )


def test_a_refusal_is_counted_once(own: Own) -> None:
    own.change("train", lambda content: content["annotations"][0].update(category_id=9))
    with pytest.raises(UserError, match=r"in 'categories'$"):
        checked_remarks(own.data(), ("train", "test"))


def test_categories_with_boxes_that_are_not_classes_are_refused(own: Own) -> None:
    own.change("train", lambda content: content["categories"][0].update(name="cats"))
    with pytest.raises(UserError, match=r"unknown class 'cats'; did you mean 'cat'\?.*; 2 boxes have"):
        own.data().split("train")
    own.change("train", lambda content: content["categories"][0].update(name="Cat"))
    with pytest.raises(UserError, match="'Cat' and 'cat' differ in capital letters only"):
        own.data(None)


def test_one_name_with_two_ids_is_one_class(own: Own) -> None:
    def change(content: Content) -> None:
        content["categories"].append({"id": 77, "name": " cat"})
        content["annotations"][0]["category_id"] = 77

    own.change("train", change)
    line = "train: 1 category name with several ids (cat) converted: one class each"
    assert own.lines() == [line] and own.lines(None) == [line]


def test_one_id_with_two_names_is_refused(own: Own) -> None:
    own.change("train", lambda content: content["categories"].append({"id": 1, "name": "tree"}))
    with pytest.raises(UserError, match="categories 'cat' and 'tree' have the same id 1"):
        own.data().split("train")


def test_boxes_of_images_that_are_not_listed_are_dropped(own: Own) -> None:
    own.change("train", lambda content: content.update(images=content["images"][:3]))
    del own.truth["train"]["images/train/d.png"]
    assert own.lines()[0] == ("train: 2 boxes of images that the file does not list (image id 4) dropped")


def test_two_images_of_one_id_are_refused(own: Own) -> None:
    own.change("train", lambda content: content["images"][1].update(id=1))
    assert (
        "1 image with the id of another one (images/train/a.png and images/train/b.png) refused"
        in own.refusal("train")
    )


def test_an_image_listed_twice(own: Own) -> None:
    def again(content: Content) -> None:
        content["images"].append({**content["images"][1], "id": 50})
        content["annotations"].append({**content["annotations"][2], "id": 50, "image_id": 50})

    own.change("train", again)
    (line,) = own.lines()
    assert line == (
        "train: 1 image listed twice with the same objects (images/train/b.png) converted: used once"
    )
    own.change("train", lambda content: content["annotations"][-1].update(category_id=1))
    assert "1 image listed twice with different objects (images/train/b.png) refused" in own.refusal("train")
    own.change("train", lambda content: content["images"][-1].update(id=2))
    own.change("train", lambda content: content["annotations"].pop())
    assert own.lines() == [
        "train: 1 image listed twice (images/train/b.png) converted: the entries are the same"
    ]


@pytest.mark.parametrize(
    "other", [{"segmentation": [[10, 0, 40, 0, 10, 20]]}, {"iscrowd": 1}, {"ignore": 1}, {"area": 5}]
)
def test_an_image_listed_twice_with_other_masks_or_flags(own: Own, other: dict[str, Any]) -> None:
    def again(content: Content) -> None:
        content["images"].append({**content["images"][1], "id": 50})
        content["annotations"].append({**content["annotations"][2], **other, "id": 50, "image_id": 50})

    own.change("train", again)
    assert "1 image listed twice with different objects (images/train/b.png) refused" in own.refusal("train")


@pytest.mark.parametrize("key", ["iscrowd", "ignore"])
def test_flags_as_text(own: Own, key: str) -> None:
    values = ["FALSE", "0.0", " no", "False ", "0", 0.0, None]
    for value in values:
        own.each_box(lambda box, value=value: box.update({key: value}), "train")  # type: ignore[misc]
        assert own.lines() == []
    for value in ("TRUE", "1.0", "yes", 1, True):
        own.each_box(lambda box, value=value: box.update({key: value if box["id"] == 1 else 0}), "train")  # type: ignore[misc]
        (line,) = own.lines()
        assert ("crowd region" if key == "iscrowd" else "marked to be ignored") in line
    for value in ("maybe", [1], float("nan")):
        own.each_box(lambda box, value=value: box.update({key: value if box["id"] == 1 else 0}), "train")  # type: ignore[misc]
        assert f"1 object whose {key} is not 0 or 1 (" in own.refusal("train")


def test_polygons_outside_the_image(own: Own) -> None:
    far = [[500, 600, 520, 600, 520, 620], [-20, 4, -5, 4, -5, 10], [4, 64, 20, 64, 20, 90]]
    own.each_box(lambda box: box.update(segmentation=far) if box["id"] == 1 else None, "test")
    own.each_box(lambda box: box["segmentation"].append(far[1]) if box["id"] == 2 else None, "test")
    across = [-30, -30, 120, -30, -30, 120]  # around the image, with no corner in it
    own.each_box(lambda box: box.update(segmentation=[across]) if box["id"] == 3 else None, "test")
    assert own.lines() == [
        "test: 4 polygons outside their images (images/test/e.png) dropped",
        "test: 1 object with an empty mask (images/test/e.png) kept: the box is used, and a run with masks "
        "refuses it",
    ]
    images = own.data().split("test").images
    assert images[0].instances[0].segmentation is None
    assert images[0].instances[1].segmentation == [[30, 8, 52, 8, 52, 34, 30, 34]]
    assert images[1].instances[0].segmentation == [across]


def test_one_box_with_two_masks_is_no_repeat(own: Own) -> None:
    def again(content: Content) -> None:
        other = {"segmentation": [[5, 6, 25, 6, 25, 26]], "id": 9}
        content["annotations"].append({**content["annotations"][0], **other})

    own.change("test", again)
    own.truth["test"]["images/test/e.png"].append(own.truth["test"]["images/test/e.png"][0])
    assert own.lines() == []


def test_very_small_images_and_pixel_formats(own: Own) -> None:
    folder = own.root / "images" / "train"
    Image.new("RGB", (2, 3)).save(folder / "a.png")
    Image.open(folder / "b.png").convert("LA").save(folder / "b.png")
    Image.open(folder / "c.png").convert("P").save(folder / "c.png")
    Image.fromarray(np.full((SIZE, SIZE), 30000, np.uint16)).save(folder / "d.png")

    def change(content: Content) -> None:
        content["images"][0].update(width=2, height=3)
        for box in content["annotations"][:2]:
            box.update(bbox=[0, 0, 1, 2], area=2, segmentation=[[0, 0, 1, 0, 1, 2, 0, 2]])

    own.change("train", change)
    own.truth["train"]["images/train/a.png"] = [(0, (0.0, 0.0, 1.0, 2.0)), (1, (0.0, 0.0, 1.0, 2.0))]
    assert own.lines() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: not valid JSON"),
        ('{"images": [],\n"annotations": [,', "line 2: not valid JSON"),
        ("[]", "it holds a list"),
        ('{"images": [], "annotations": []}', "it has no list of categories"),
        ('{"images": [3], "annotations": [], "categories": []}', "entry 0 of images is 3, not an object"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "lacks an id or a name"),
        ('{"images": [], "annotations": [], "categories": []}', "lists no images"),
        ("\ud800", "not valid JSON"),
    ],
)
def test_files_that_are_not_coco(own: Own, text: str, message: str) -> None:
    own.json("train").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match=message) as error:
        own.data().split("train")
    assert str(own.json("train")) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_byte_order_mark(own: Own) -> None:
    own.json("test").write_bytes(b"\xef\xbb\xbf" + own.json("test").read_bytes())
    assert own.lines() == []
    own.json("train").unlink()
    with pytest.raises(UserError, match="there is no annotation file"):
        own.data().split("train")


def test_an_entry_without_file_name_is_refused(own: Own) -> None:
    own.change("train", lambda content: content["images"][0].pop("file_name"))
    assert "1 image entry without id or file_name" in own.refusal("train")
