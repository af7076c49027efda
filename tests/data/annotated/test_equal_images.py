"""Images that train and the evaluated split share are not trained on; repeated ones are said."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotated_layouts import rectangles, write_coco
from PIL import Image

from mmbench.data.annotated.coco import CocoSource, coco_data
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.remarks import checked_remarks
from mmbench.data.annotated.shared import equal_images, train_and_evaluated
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.types import Split
from mmbench.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "own", rectangles({"train": 6, "val": 3, "test": 3}, objects=(4, 5)))


def opened(root: Path) -> AnnotatedData:
    splits: tuple[Split, ...] = ("train", "val", "test")
    return coco_data(
        "own",
        {split: CocoSource(root, f"annotations/{split}.json", f"images/{split}", split) for split in splits},
    )


def copy(root: Path, source: str, target: str) -> None:
    (root / "images" / target).write_bytes((root / "images" / source).read_bytes())


def test_different_images_stay(root: Path) -> None:
    data = opened(root)
    train, test = train_and_evaluated(data, "test")
    assert (train, test) == (data.split("train"), data.split("test")) and equal_images(data) == ()


def test_shared_images_are_dropped_from_train(root: Path) -> None:
    copy(root, "test/test-0001.png", "train/train-0003.png")
    data = opened(root)
    train, test = train_and_evaluated(data, "test")
    assert [image.path[-8:] for image in train.images] == [f"000{k}.png" for k in (0, 1, 2, 4, 5)]
    assert len(test.images) == 3 and len(data.split("train").images) == 6
    (finding,) = train.findings
    assert finding.line() == (
        "train: 1 image that is in test too (images/train/train-0003.png) dropped: not trained on"
    )
    assert equal_images(data) == (finding,)
    assert checked_remarks(data, ("train", "test")) == (finding.line(),)
    assert checked_remarks(data, ("train", "val")) == ()
    assert len(train_and_evaluated(data, "val")[0].images) == 6


def test_repeated_images_are_kept_and_said(root: Path) -> None:
    copy(root, "test/test-0001.png", "test/test-0002.png")
    data = opened(root)
    _, test = train_and_evaluated(data, "test")
    (finding,) = test.findings
    assert finding.action == "kept" and len(test.images) == 3
    assert (
        finding.line()
        == "test: 1 image that equals another one of the split (images/test/test-0002.png) kept"
    )
    assert equal_images(data) == (finding,)


def test_train_evaluated_on_itself_loses_nothing(root: Path) -> None:
    train, other = train_and_evaluated(opened(root), "train")
    assert train is other and len(train.images) == 6 and train.findings == ()


def test_nothing_left_to_train_on_is_refused(root: Path) -> None:
    Image.new("RGB", (64, 64)).save(root / "images" / "test" / "test-0001.png")
    for number in range(6):
        Image.new("RGB", (64, 64)).save(root / "images" / "train" / f"train-000{number}.png")
    train, _ = train_and_evaluated(opened(root), "test")
    with pytest.raises(UserError, match="split whose annotated images are all in test"):
        require_usable(train.findings)
