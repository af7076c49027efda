"""COCO 2017 (Lin et al. 2014), as unzipped: object instances, and keypoints of persons."""

from __future__ import annotations

from pathlib import Path

from mmbench.data.annotated.coco import CocoSource, coco_data
from mmbench.data.annotated.places import HOMES, find_place
from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.official import PUBLISHED, Official
from mmbench.data.types import Split

# In the order of COCO's category ids, which have gaps.
CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
    "left_ankle", "right_ankle",
)  # fmt: skip
PARTS: tuple[Split, ...] = ("train", "val")
SIZES = {"train": 118287, "val": 5000}  # images
ARCHIVES = "train2017.zip, val2017.zip, annotations_trainval2017.zip"
PUBLISHED.register("coco")((Official("COCO 2017", "boxes, masks", len(CLASSES), SIZES, "AP", ARCHIVES),))
PUBLISHED.register("coco-keypoints")((Official("COCO 2017", "boxes, keypoints", 1, SIZES, "AP", ARCHIVES),))
OBTAIN = "annotations/{}_train2017.json, annotations/{}_val2017.json, train2017/ and val2017/ of COCO 2017"


@DATASETS.register("coco")
def load_coco(root: Path) -> Dataset:
    """Return COCO 2017 with 80 classes; its splits are train and val.

    Raises:
        UserError: COCO is in none of the usual places.
    """
    return _load(root, "instances", CLASSES, (), HOMES["coco"])


@DATASETS.register("coco-keypoints")
def load_coco_keypoints(root: Path) -> Dataset:
    """Return the keypoints of COCO 2017: persons with 17 keypoints each; its splits are train and val.

    Raises:
        UserError: COCO is in none of the usual places.
    """
    return _load(root, "person_keypoints", ("person",), KEYPOINTS, HOMES["coco-keypoints"])


def _load(
    root: Path, kind: str, classes: tuple[str, ...], keypoints: tuple[str, ...], folders: tuple[str, ...]
) -> Dataset:
    names = [root.name, *(name for name in folders if name != root.name)]

    def is_there(place: Path) -> bool:
        return any(_annotations(place, kind, part).is_file() for part in PARTS)

    home = find_place(root, names, is_there, OBTAIN.format(kind, kind))
    sources = {
        part: CocoSource(
            home,
            _annotations(home, kind, part).relative_to(home).as_posix(),
            _images(home, part),
            part,
            published=True,
        )
        for part in PARTS
    }
    data = coco_data(root.name, sources, classes, "COCO 2017", keypoints)
    return Dataset(root.name, home, classes, annotated=data)


def _annotations(home: Path, kind: str, part: str) -> Path:
    return home / "annotations" / f"{kind}_{part}2017.json"


def _images(home: Path, part: str) -> str:
    inner = f"images/{part}2017"
    return inner if (home / inner).is_dir() and not (home / f"{part}2017").is_dir() else f"{part}2017"
