"""Which image and which annotation file of a VOC folder belong together, where one of them is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.types import AnnotatedData
from mmbench.errors import UserError


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def annotate(path: Path, filename: str = "") -> None:
    """Write an annotation file whose box tells by its width which file it is of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    box = f"<xmin>1</xmin><ymin>1</ymin><xmax>{5 + int(path.stem)}</xmax><ymax>9</ymax>"
    path.write_text(
        f"<annotation><filename>{filename or path.stem + '.png'}</filename><size><width>20</width>"
        "<height>16</height></size><object><name>cat</name><difficult>0</difficult>"
        f"<bndbox>{box}</bndbox></object></annotation>"
    )


def pair(root: Path, image: str, annotation: str, seed: int) -> None:
    draw(root / f"{image}.png", seed)
    annotate(root / f"{annotation}.xml")


def data_in(root: Path) -> AnnotatedData:
    load_dataset.cache_clear()
    annotated = load_dataset(str(root)).annotated
    assert annotated is not None and annotated.layout == "VOC"
    return annotated


def widths(data: AnnotatedData, split: str) -> dict[str, list[float]]:
    return {
        image.path: [thing.box[2] for thing in image.instances]
        for image in data.split(split).images  # type: ignore[arg-type]
    }


def lines(data: AnnotatedData, split: str) -> list[str]:
    return [finding.line() for finding in data.split(split).findings]  # type: ignore[arg-type]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a/1", "a/2", "b/4", "3")):
        pair(tmp_path, f"JPEGImages/{name}", f"Annotations/{name}", seed)
    write_lists(tmp_path, train="a/1\na/2\n", val="b/4\n")
    return tmp_path


def write_lists(root: Path, **lists: str) -> None:
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    for name, content in lists.items():
        (root / f"ImageSets/Main/{name}.txt").write_text(content)


def test_a_listed_file_that_is_missing_is_not_one_of_another_folder(listed: Path) -> None:
    write_lists(listed, val="b/4\nb/3\n")
    with pytest.raises(UserError, match=r"val: 1 annotation file .*Annotations/b/3\.xml cannot be read"):
        require_usable(data_in(listed).split("val").findings)
    write_lists(listed, train="a/1\n3\n", val="b/4\nc/3\n")  # no folder c, but 3 is trained on
    with pytest.raises(UserError, match=r"Annotations/c/3\.xml cannot be read"):
        require_usable(data_in(listed).split("val").findings)


def test_foreign_paths_of_a_list_are_found_and_said(listed: Path) -> None:
    write_lists(
        listed, train="a/1\nJPEGImages/a/2.png\n", val="/home/me/VOC/JPEGImages/3.png\nVOC\\b\\4.png\n"
    )
    data = data_in(listed)
    assert widths(data, "train") == {"JPEGImages/a/1.png": [6], "JPEGImages/a/2.png": [7]}
    assert widths(data, "val") == {"JPEGImages/3.png": [8], "JPEGImages/b/4.png": [9]}
    assert not [line for line in lines(data, "train") if "lead" in line]
    (line,) = [line for line in lines(data, "val") if "lead" in line]
    assert line.startswith("val: 2 images that are not where their lists or annotation files lead (/home/me/")
    assert line.endswith(") converted: found by their names")


def test_two_lines_never_lead_to_one_image(listed: Path) -> None:
    write_lists(listed, train="a/1\nx/3\n", val="b/4\ny/3\n")
    with pytest.raises(UserError, match=r"Annotations/x/3\.xml cannot be read"):
        require_usable(data_in(listed).split("train").findings)
    with pytest.raises(UserError, match=r"Annotations/y/3\.xml cannot be read"):
        require_usable(data_in(listed).split("val").findings)


def in_towns(root: Path, images: str, files: str) -> Path:
    for seed, (split, town, number) in enumerate(
        (split, town, number) for split in ("train", "val") for town in "ab" for number in (1, 2, 3)
    ):
        values = {"split": split, "town": town}
        pair(root, f"{images.format(**values)}/{number}", f"{files.format(**values)}/{number}", seed)
    return root


@pytest.mark.parametrize(
    ("images", "files"),
    [
        ("{split}/images/{town}", "{split}/xml/{town}"),
        ("{split}/{town}/images", "{split}/{town}/annotations"),
        ("images/{split}/{town}", "annotations/{split}/{town}"),
        ("images/{split}/{town}", "{split}/annotations/{town}"),
    ],
)
def test_an_image_of_another_folder_is_not_taken_for_a_missing_one(
    tmp_path: Path, images: str, files: str
) -> None:
    root = in_towns(tmp_path, images, files)
    pair(root, "train/9", "train/9", 9)  # one that the layout is recognised by
    data = data_in(root)
    places = [images.format(split="val", town=town) for town in "ab"]
    assert widths(data, "val") == {f"{place}/{n}.png": [5 + n] for place in places for n in (1, 2, 3)}
    assert lines(data, "val") == []
    (root / places[1] / "2.png").unlink()
    with pytest.raises(UserError, match=r"val: 1 image that is missing .* refused"):
        require_usable(data_in(root).split("val").findings)
    annotation = root / files.format(split="val", town="a") / "2.xml"
    annotation.unlink()  # nobody's, but still of the folder a
    with pytest.raises(UserError, match=r"val: 1 image that is missing .* refused"):
        require_usable(data_in(root).split("val").findings)


def test_one_folder_of_files_for_images_in_folders(tmp_path: Path) -> None:
    for number, folder in enumerate("aabb", start=1):
        pair(tmp_path, f"images/train/{folder}/{number}", f"annotations/train/{number}", number)
        pair(tmp_path, f"images/val/{folder}/{number}", f"annotations/val/{number}", 10 + number)
    data = data_in(tmp_path)
    assert widths(data, "val") == {f"images/val/{'aabb'[n - 1]}/{n}.png": [5 + n] for n in (1, 2, 3, 4)}
    assert "val: 4 images that are not where their lists or annotation files lead" in lines(data, "val")[0]


def test_other_spellings_of_one_split(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        pair(tmp_path, f"images/training/{number}", f"annotations/train/{number}", number)
        pair(tmp_path, f"images/validation/{number}", f"annotations/valid/{number}", 10 + number)
    data = data_in(tmp_path)
    assert widths(data, "train") == {f"images/training/{n}.png": [5 + n] for n in (1, 2, 3)}
    assert widths(data, "val") == {f"images/validation/{n}.png": [5 + n] for n in (1, 2, 3)}


def test_the_stated_file_name_leads_to_no_image_of_another_file(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for number in (1, 2, 3):
            pair(tmp_path, f"{split}/{number}", f"{split}/{number}", number + 10 * (split == "val"))
    (tmp_path / "val/3.png").rename(tmp_path / "val/photo.png")
    annotate(tmp_path / "val/3.xml", "photo.png")  # no other file is of it
    data = data_in(tmp_path)
    assert widths(data, "val") == {"val/1.png": [6], "val/2.png": [7], "val/photo.png": [8]}
    assert ["(val/photo.png) converted: found by their names" in line for line in lines(data, "val")] == [
        True
    ]
    annotate(tmp_path / "val/3.xml", "2.png")
    with pytest.raises(UserError, match=r"val: 1 image that is missing \(val/3\.png\) refused"):
        require_usable(data_in(tmp_path).split("val").findings)
    annotate(tmp_path / "val/3.xml", "photo.png")
    annotate(tmp_path / "val/4.xml", "photo.png")
    with pytest.raises(UserError, match=r"val: 2 images that are missing \(val/3\.png, val/4\.png\) refused"):
        require_usable(data_in(tmp_path).split("val").findings)


def test_images_without_an_annotation_file_have_no_objects(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for number in (1, 2, 3):
            pair(tmp_path, f"{split}/{number}", f"{split}/{number}", number + 10 * (split == "val"))
        (tmp_path / split / "2.xml").unlink()
    draw(tmp_path / "test/1.png", 50)
    data = data_in(tmp_path)
    for split, remedy in (("train", "not trained on"), ("val", "detections in them count as wrong")):
        assert widths(data, split) == {f"{split}/1.png": [6], f"{split}/2.png": [], f"{split}/3.png": [8]}
        assert lines(data, split) == [
            f"{split}: 1 image without an annotation file ({split}/2.png) kept: images without objects",
            f"{split}: 1 image without objects ({split}/2.png) kept: {remedy}",
        ]
    assert data.split("val").files == ("val/1.xml", "val/3.xml")
    assert list(data.finders) == ["train", "val", "test"]  # test is val, as there is no file of test
    assert data.split("test") is data.split("val")


def test_images_of_a_split_without_annotation_files_are_left_out_and_counted(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        pair(tmp_path, f"images/train/{number}", f"annotations/train/{number}", number)
        pair(tmp_path, f"images/val/{number}", f"annotations/val/{number}", 10 + number)
        draw(tmp_path / f"images/test/{number}.png", 20 + number)
        draw(tmp_path / f"masks/val/{number}.png", 30 + number)
    data = data_in(tmp_path)
    assert len(data.split("val").images) == 3
    assert (
        "left out: 3 images in folders without annotation files (images/test/1.png, images/test/2.png, "
        "images/test/3.png)"
    ) in data.remarks


def test_two_annotation_files_of_one_image_are_refused(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        pair(tmp_path, f"images/train/{number}", f"annotations/train/{number}", number)
        pair(tmp_path, f"images/val/{number}", f"annotations/val/{number}", 10 + number)
    annotate(tmp_path / "xml/val/2.xml")
    with pytest.raises(UserError) as error:
        require_usable(data_in(tmp_path).split("val").findings)
    assert str(error.value) == (
        "val: 1 image with several annotation files (images/val/2.png: xml/val/2.xml) refused: keep one file "
        "for each"
    )


def test_a_line_that_means_two_annotation_files_is_refused_unless_they_are_equal(listed: Path) -> None:
    """VOC's folder is Annotations; a copy of it in xml/ may have other boxes."""
    annotate(listed / "xml/a/1.xml")
    before = widths(data_in(listed), "train")
    require_usable(data_in(listed).split("train").findings)
    assert "JPEGImages/a/1.png" in before
    annotate(listed / "xml/a/1.xml", "other.png")
    (line,) = [line for line in lines(data_in(listed), "train") if "several" in line]
    assert line == (
        "train: 1 image with several annotation files (JPEGImages/a/1.png: Annotations/a/1.xml and "
        "xml/a/1.xml) refused: keep one file for each"
    )
