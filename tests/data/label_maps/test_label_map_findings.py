"""What is unusual in images with label maps: dropped, converted, kept or refused, and said with its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from own_masks import NAMES, Labels, found, opened, save, truth, write
from PIL import Image

from mmbench.data import Dataset
from mmbench.data.annotated.own_splits import with_evaluation
from mmbench.data.annotated.remarks import checked_remarks
from mmbench.data.annotated.shared import equal_images
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.reading import label_map_data, without_background
from mmbench.data.label_maps.types import Coding, Pair, Part, Stated
from mmbench.errors import UserError
from mmbench.tools.data_check import check_dataset
from mmbench.tools.label_map_sheet import draw_label_maps


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path)


def test_images_without_label_maps_are_dropped_in_training_and_refused_where_evaluated(root: Path) -> None:
    for path in ("train/1", "train/3", "test/0"):
        (root / f"segmentation/{path}.png").unlink()
    data = opened(root)
    assert found(data) == [
        "train: 2 images without label maps (images/train/1.png, images/train/3.png) dropped: not trained on"
    ]
    assert [image.name for image in data.split("train").images] == ["0", "2"]
    assert found(data, "test")[0].startswith(
        "test: 1 image without a label map (images/test/0.png) refused: add what is missing"
    )
    with pytest.raises(UserError, match="test: 1 image without a label map"):
        checked_remarks(data, ("test",))


def test_a_split_without_a_label_map_is_refused(root: Path) -> None:
    for path in (root / "segmentation/train").iterdir():
        path.unlink()
    assert found(opened(root))[0] == (
        "train: 1 split without a pixel of a class (train) refused: nothing can be measured"
    )


def test_label_maps_without_images_are_dropped_in_training_and_refused_where_evaluated(root: Path) -> None:
    (root / "images/train/1.png").unlink()
    (root / "images/test/1.png").unlink()
    data = opened(root)
    assert found(data) == [
        "train: 1 label map without an image (segmentation/train/1.png) dropped: not trained on"
    ]
    assert "test: 1 label map without an image (segmentation/test/1.png) refused" in found(data, "test")[0]


@pytest.mark.parametrize("kind", ["images", "segmentation"])
def test_damaged_files(root: Path, kind: str) -> None:
    for place in ("train/1", "test/1"):
        path = root / f"{kind}/{place}.png"
        path.write_bytes(path.read_bytes()[:60])
    data, what = opened(root), {"images": "image", "segmentation": "label map"}[kind]
    assert f"train: 1 {what} that cannot be decoded ({kind}/train/1.png: " in found(data)[0]
    assert "dropped: not trained on" in found(data)[0] and len(data.split("train").images) == 3
    assert f"test: 1 {what} that cannot be decoded" in found(data, "test")[0]
    assert "refused" in found(data, "test")[0]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: np.kron(m, np.ones((2, 2), np.uint8)), "label map of another size than its image"),
        (lambda m: m[::2, ::2], "label map of another size than its image"),
        (lambda m: m.T.copy(), "label map with width and height exchanged"),
    ],
)
def test_label_maps_of_another_size_are_refused(
    root: Path, split: str, change: Callable[[Labels], Labels], what: str
) -> None:
    mask = change(truth(split, 1))
    save(root / f"segmentation/{split}/1.png", mask)
    line = found(opened(root), split)[0]
    sizes = f"images/{split}/1.png: label map {mask.shape[1]} x {mask.shape[0]}, image 24 x 16"
    assert line.startswith(f"{split}: 1 {what} ({sizes}) refused")


def turned(root: Path, place: str, tag: int) -> None:
    """Give an image an EXIF orientation."""
    path = root / f"images/{place}.png"
    exif = Image.Exif()
    exif[0x0112] = tag
    with Image.open(path) as image:
        image.save(path, exif=exif)


def test_label_maps_as_stored_or_as_displayed_are_told_apart_by_their_size(root: Path) -> None:
    turned(root, "train/0", 6)
    turned(root, "train/1", 6)
    save(root / "segmentation/train/1.png", np.rot90(truth("train", 1), -1))
    images = opened(root).split("train").images
    assert [(image.width, image.height, image.apply_exif) for image in images[:2]] == [
        (24, 16, False),
        (16, 24, True),
    ]
    assert found(opened(root)) == [
        "train: 1 image whose label map is as stored, without its EXIF orientation (images/train/0.png) "
        "converted: the orientation is not applied"
    ]


def test_an_orientation_that_keeps_the_size_follows_those_that_tell(root: Path) -> None:
    turned(root, "train/2", 3)
    assert [image.apply_exif for image in opened(root).split("train").images] == [True] * 4
    assert "does not change its size (images/train/2.png) kept: read as displayed" in found(opened(root))[0]
    turned(root, "train/0", 6)  # its label map is as stored
    assert [image.apply_exif for image in opened(root).split("train").images] == [False, True, False, True]


def test_several_files_of_one_name_are_refused(root: Path) -> None:
    Image.new("RGB", (24, 16)).save(root / "images/train/0.jpg")
    shutil.copy(root / "segmentation/test/1.png", root / "segmentation/test/1.bmp")
    data = opened(root)
    assert found(data)[0] == (
        "train: 2 images that share their label maps (images/train/0.jpg, images/train/0.png) refused: "
        "remove all but one image of a name"
    )
    assert "test: 2 label maps of images that have several (segmentation/test/1.bmp" in found(data, "test")[0]


@pytest.mark.parametrize(
    ("mask", "suffix", "what"),
    [
        (Image.fromarray(truth("train", 1) * 80), ".jpg", "a JPEG, which blurs labels"),
        (Image.fromarray(truth("train", 1).astype(np.float32)), ".tif", "floating-point numbers"),
        (
            Image.fromarray(np.arange(384, dtype=np.uint16).reshape(16, 24)),
            ".png",
            "more than 300 grey values",
        ),
        (
            Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)),
            ".png",
            "more than 300 colours",
        ),
    ],
)
def test_modes_that_cannot_be_meant_are_refused(
    root: Path, mask: Image.Image, suffix: str, what: str
) -> None:
    (root / "segmentation/train/1.png").unlink()
    save(root / f"segmentation/train/1{suffix}", mask)
    line = found(opened(root))[0]
    assert what in line and f"(segmentation/train/1{suffix}) refused: save labels as grey or palette" in line


def test_transparency_is_said_and_refused_where_shapes_are_in_it(root: Path) -> None:
    alpha = np.where(truth("train", 1) > 0, 255, 0).astype(np.uint8)
    labels = truth("train", 1)
    save(root / "segmentation/train/1.png", np.stack([labels, labels, labels, alpha], -1))
    assert found(opened(root)) == [
        "train: 1 label map with transparency (segmentation/train/1.png) converted: "
        "the colours beneath it are read"
    ]
    black = np.zeros_like(alpha)
    save(root / "segmentation/train/1.png", np.stack([black, black, black, alpha], -1))
    assert "shapes are in its transparency" in found(opened(root))[0]


def test_folders_below_the_splits_are_read(root: Path) -> None:
    for kind in ("images", "segmentation"):
        (root / kind / "train/town").mkdir()
        (root / f"{kind}/train/0.png").rename(root / f"{kind}/train/town/0.png")
    data = opened(root)
    assert [image.name for image in data.split("train").images] == ["1", "2", "3", "town/0"]
    assert found(data) == []


def test_images_of_several_sizes_and_modes_are_read(root: Path) -> None:
    for number, mode in enumerate(("L", "LA", "P", "1")):
        path = root / f"images/train/{number}.png"
        with Image.open(path) as image:
            image.convert(mode).resize((9 + number, 7)).save(path)
        mask = Image.fromarray(np.maximum(truth("train", number), 1)).resize((9 + number, 7), 0)
        save(root / f"segmentation/train/{number}.png", mask)
    assert [image.width for image in opened(root).split("train").images] == [9, 10, 11, 12]


def test_unknown_values_are_refused_with_file_and_value(root: Path) -> None:
    save(root / "segmentation/test/1.png", np.where(truth("test", 1) == 3, 77, truth("test", 1)))
    line = found(opened(root), "test")[0]
    assert (
        "test: 1 label map with values that are not those of a class (segmentation/test/1.png: value 77)"
        in line
    )
    assert "refused" in line
    with pytest.raises(UserError, match=r"1\.png has pixels of value 77, which is that of no class"):
        read_labels(root / "segmentation/test/1.png", Coding("values", {0: 0, 1: 1, 2: 2, 3: 3, 255: 255}))


def test_images_that_are_ignored_everywhere(root: Path) -> None:
    save(root / "segmentation/train/1.png", np.full((16, 24), 255, np.uint8))
    data = opened(root)
    assert found(data) == [
        "train: 1 image that is ignored everywhere (segmentation/train/1.png) kept: no pixel of them counts"
    ]
    for number in (0, 1):
        save(root / f"segmentation/test/{number}.png", np.full((16, 24), 255, np.uint8))
    assert found(opened(root), "test")[0].endswith("(test) refused: nothing can be measured")


def test_classes_without_a_pixel_and_images_of_background_are_said(root: Path) -> None:
    for number in (0, 1):
        save(
            root / f"segmentation/test/{number}.png",
            np.where(truth("test", number) == 2, 0, truth("test", number)),
        )
    save(root / "segmentation/train/3.png", np.zeros((16, 24), np.uint8))
    data = opened(root)
    assert found(data, "test") == ["test: 1 class without a pixel (dog) kept"]
    assert found(data) == ["train: 1 image with nothing but background (segmentation/train/3.png) kept"]
    assert set(checked_remarks(data, ("test",))) == {*found(data), *found(data, "test")}


def of_values(root: Path, names: tuple[str, ...] | None, background: str | None = None) -> AnnotatedData:
    parts = {
        split: Part(split, split, tuple(
            Pair(f"images/{split}/{n}.png", f"segmentation/{split}/{n}.png", str(n)) for n in range(count)
        ))
        for split, count in (("train", 4), ("test", 2))
    }  # fmt: skip
    return label_map_data("own", root, "folders", parts, Stated(names, background))


def labels_in(data: AnnotatedData) -> Labels:
    assert data.label_maps is not None
    image = data.split("train").images[0]
    return read_labels(data.root / str(image.label_map), data.label_maps.coding)


def test_listed_classes_begin_at_0_or_1_by_a_stated_rule(tmp_path: Path) -> None:
    root, labels = write(tmp_path / "a"), truth("train", 0)
    four = of_values(root, ("road", *NAMES))
    assert four.classes == ("road", *NAMES) and (labels_in(four) == labels).all()
    assert "value 0 of label maps is the class 'road', as no value is 4" in four.remarks[0]
    assert four.label_maps is not None and four.label_maps.background is None
    three = of_values(root, NAMES)
    assert three.classes == ("background", *NAMES) and (labels_in(three) == labels).all()
    assert three.remarks == ("value 0 of label maps is background, and 1 to 3 are the classes as listed",)
    assert of_values(root, NAMES, "background").remarks == ()
    root = write(tmp_path / "b", lambda m: np.maximum(m, 1))
    none = of_values(root, NAMES)
    assert none.classes == NAMES and (labels_in(none) == np.maximum(labels, 1) - 1).all()


def test_classes_are_counted_and_gaps_said(tmp_path: Path) -> None:
    table = np.array([0, 1, 3, 7], np.uint8)
    data = of_values(write(tmp_path / "a", lambda m: table[m]), None)
    assert data.classes == ("background", "class 1", "class 3", "class 7")
    assert (labels_in(data) == truth("train", 0)).all()
    assert data.remarks == (
        "4 classes counted in the label maps, as none are listed: 0, 1, 3, 7, of which 0 is background; "
        "values between them do not occur",
    )
    blurred = np.array([0, 90, 180, 255], np.uint8)
    with pytest.raises(UserError, match="unclear what the values 0, 90, 180 and 255"):
        of_values(write(tmp_path / "b", lambda m: blurred[m]), None)
    many = write(tmp_path / "c", lambda m: (np.arange(384).reshape(16, 24) % 290).astype(np.uint16))
    with pytest.raises(UserError, match="has 289 classes, and label maps can have 255"):
        of_values(many, None)


@pytest.mark.parametrize("half", [127, 128])
def test_0_half_and_255_are_unclear_however_half_is_rounded(tmp_path: Path, half: int) -> None:
    greys = np.array([0, half, 255, 255], np.uint8)
    with pytest.raises(UserError, match=f"unclear what the values 0, {half} and 255 .* list the classes"):
        of_values(write(tmp_path / "a", lambda m: greys[m]), None)
    labels = np.array([0, 1, 255, 255], np.uint8)  # as usual
    assert of_values(write(tmp_path / "b", lambda m: labels[m]), None).classes == ("background", "class 1")


def test_the_background_is_ignored_once(root: Path) -> None:
    save(root / "segmentation/train/3.png", np.zeros((16, 24), np.uint8))
    data = without_background(opened(root))
    assert data.classes == NAMES and data.label_maps is not None and data.label_maps.background is None
    assert (labels_in(data) == truth("train", 0) - np.uint8(1)).all()  # 0 becomes 255
    assert found(data) == [
        "train: 1 image that is ignored everywhere (segmentation/train/3.png) kept: no pixel of them counts"
    ]
    assert without_background(data) is data and data.split("train") is data.split("train")
    with pytest.raises(UserError, match=r"is the class 'road', not background; set reduce_zero_label=false"):
        without_background(of_values(root, ("road", *NAMES)))


def test_held_out_images_are_checked_as_label_maps(root: Path) -> None:
    shutil.rmtree(root / "segmentation/test")
    data = with_evaluation(opened(root), {"train": "train"})
    test = data.split("test")
    assert len(test.images) == 1 and len(data.split("train").images) == 3 and test is data.split("val")
    assert not any("object" in line for line in (*found(data), *found(data, "test")))
    reduced = without_background(data)
    assert reduced.split("test") is reduced.split("val") and len(reduced.split("train").images) == 3


def test_equal_images_are_found(root: Path) -> None:
    shutil.copy(root / "images/test/0.png", root / "images/train/0.png")
    data = opened(root)
    assert "1 image that is in test too (images/train/0.png) dropped" in equal_images(data)[0].line()


def test_check_and_show(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = opened(root)
    monkeypatch.setattr(
        "mmbench.tools.data_check.load_dataset",
        lambda *_: Dataset("own", root, data.classes, label_maps=data),
    )
    facts, problems = check_dataset("own", root)
    pixels = np.stack([truth("test", number) for number in (0, 1)])
    share = {name: f"{(pixels == label).mean():.2%}" for label, name in enumerate(data.classes)}
    assert problems == [] and facts[1] == (
        "test: 2 images of 16 px (short side); 4 classes: "
        + ", ".join(f"{name} {number}" for name, number in share.items())
        + "; 0.00% of the pixels ignored"
    )
    with Image.open(draw_label_maps(data, "test", root / "sheet.png", columns=2)) as sheet:
        assert sheet.size[0] >= 2 * 288 and (128, 0, 0) in {colour for _, colour in sheet.getcolors(1 << 20)}


def test_a_split_of_refused_images_is_refused_for_one_reason(root: Path) -> None:
    for number in (0, 1):
        save(root / f"segmentation/test/{number}.png", truth("test", number)[::2])
    data = opened(root)
    assert len(data.split("test").findings) == 1
    with pytest.raises(UserError, match=r"write them as the images are$"):
        checked_remarks(data, ("test",))
