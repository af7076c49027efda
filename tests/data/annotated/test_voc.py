"""VOC layout: every finding once, and wrong input of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotated_layouts import Drawings, Drawn, rectangles, save, write_voc
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.annotated.voc_xml import BrokenAnnotation, read_voc_xml
from mmbench.errors import UserError

COUNTS = {"train": 4, "test": 3}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "set", rectangles(COUNTS))


def data_in(root: Path) -> AnnotatedData:
    annotated = load_dataset(str(root)).annotated
    assert annotated is not None
    return annotated


def lines(split: AnnotatedSplit) -> list[str]:
    return [f"{finding.line()}" for finding in split.findings if "class" not in finding.what]


def change(root: Path, name: str, *pairs: tuple[str, str]) -> None:
    path = root / "Annotations" / f"{name}.xml"
    text = path.read_text()
    for old, new in pairs:
        assert old in text, (old, text)
        text = text.replace(old, new, 1)
    path.write_text(text)


def boxed(*edges: float, name: str = "red", more: str = "<difficult>0</difficult>") -> str:
    tags = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{tag}>{edge}</{tag}>" for tag, edge in zip(tags, edges, strict=True))
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def annotate(root: Path, name: str, *objects: str, size: str = "64 64") -> None:
    width, height = size.split()
    text = f"<annotation><size><width>{width}</width><height>{height}</height></size>{''.join(objects)}"
    (root / "Annotations" / f"{name}.xml").write_text(text + "</annotation>")


def test_pixels_count_from_one_and_both_ends_are_inside(root: Path) -> None:
    annotate(root, "train-0000", boxed(1, 1, 64, 64), boxed(11, 21, 30, 40))
    boxes = [thing.box for thing in data_in(root).split("train").images[0].instances]
    assert boxes == [(0, 0, 64, 64), (10, 20, 30, 40)]


def test_decimals_are_kept(root: Path) -> None:
    annotate(root, "train-0000", boxed(45.70000076293945, 2.5, 60.25, 33.75))
    (thing,) = data_in(root).split("train").images[0].instances
    assert thing.box == (44.70000076293945, 1.5, 60.25, 33.75)


def test_a_single_box_at_zero_does_not_make_the_data_count_from_zero(root: Path) -> None:
    annotate(root, "train-0000", boxed(0, 5, 20, 20))
    annotate(root, "train-0001", boxed(1, 5, 20, 20), boxed(5, 1, 20, 20))
    split = data_in(root).split("train")
    assert split.images[0].instances[0].box == (0, 4, 20, 20)  # clipped
    assert split.images[1].instances[0].box == (0, 4, 20, 20)
    assert ["1 box partly outside its image" in line for line in lines(split)] == [True]


def test_data_that_count_from_zero_are_converted_in_every_split(root: Path) -> None:
    annotate(root, "train-0000", boxed(0, 5, 20, 20), boxed(7, 0, 20, 20))
    annotate(root, "test-0000", boxed(3, 5, 20, 20))
    data = data_in(root)
    split = data.split("train")
    assert [thing.box for thing in split.images[0].instances] == [(0, 5, 20, 20), (7, 0, 20, 20)]
    assert data.split("test").images[0].instances[0].box == (3, 5, 20, 20)
    (line,) = lines(split)
    assert line.startswith("train: 2 boxes that begin at 0 (Annotations/train-0000.xml")
    assert "converted: all boxes of this data set are taken to count pixels from 0" in line


def test_boxes_outside_and_without_area(root: Path) -> None:
    annotate(
        root,
        "train-0000",
        boxed(-9, 1, 20, 20),
        boxed(30, 30, 99, 50),
        boxed(20, 20, 20, 10),
        boxed(30, 10, 20, 20),
        boxed(70, 70, 90, 90),
    )
    split = data_in(root).split("train")
    assert [thing.box for thing in split.images[0].instances] == [(0, 0, 20, 20), (29, 29, 64, 50)]
    found = {(finding.what, finding.action) for finding in split.findings}
    assert ("train: 2 boxes partly outside their images", "converted") in found
    assert ("train: 2 boxes without area", "dropped") in found
    assert ("train: 1 box outside its image", "dropped") in found


def test_difficult_is_read_and_may_be_missing(root: Path) -> None:
    annotate(
        root,
        "test-0000",
        boxed(1, 1, 9, 9, more="<difficult>1</difficult>"),
        boxed(1, 1, 9, 9, more=""),
        boxed(1, 1, 9, 9, more="<difficult>Unspecified</difficult>"),
    )
    split = data_in(root).split("test")
    assert [thing.difficult for thing in split.images[0].instances] == [True, False, False]
    assert any("2 objects that do not state whether they are difficult" in line for line in lines(split))


def test_only_difficult_objects_to_evaluate_are_refused(root: Path) -> None:
    for number in range(COUNTS["test"]):
        annotate(root, f"test-000{number}", boxed(1, 1, 9, 9, more="<difficult>1</difficult>"))
    with pytest.raises(UserError, match=r"test: .*without an object that counts.*refused"):
        require_usable(data_in(root).split("test").findings)


def test_a_size_that_is_missing_is_read_from_the_image(root: Path) -> None:
    change(root, "train-0000", ("<size><width>64</width><height>64</height><depth>3</depth></size>", ""))
    change(root, "train-0001", ("<width>64</width>", "<width>0</width>"))
    split = data_in(root).split("train")
    assert [(image.width, image.height) for image in split.images] == [(64, 64)] * 4
    (line,) = lines(split)
    assert "2 images whose annotations do not state their size" in line and "converted" in line


def test_another_size_is_refused(root: Path) -> None:
    change(root, "train-0002", ("<width>64</width>", "<width>640</width>"))
    with pytest.raises(UserError, match=r"train: 1 image of another size .*train-0002\.png.*640 x 64"):
        require_usable(data_in(root).split("train").findings)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("", "line 1: not valid XML"),
        ("<annotation>\n<object>\n", "line 3: not valid XML"),
        ("<annotation>\n  <object>\n    <name>a</nam>\n", "line 3: not valid XML \\(mismatched tag\\)"),
        ("<annotations/>", "line 1: begins with <annotations> instead of <annotation>"),
        ("<annotation>\n\n<object></object></annotation>", "line 3: an object without a <name>"),
        (
            "<annotation><object><name>a</name></object></annotation>",
            "line 1: an object 'a' without a <bndbox>",
        ),
        (
            "<annotation><object><name>a</name><robndbox/></object></annotation>",
            "only a rotated box",
        ),
        (
            f"<annotation>\n{boxed(1, 1, 9, 9)}\n{boxed(1, 2, 3, 4).replace('>3<', '>x<')}\n</annotation>",
            "line 3: <xmax> of 'red' is 'x'",
        ),
        (f"<annotation>{boxed(1, 2, float('nan'), 4)}</annotation>", "line 1: <xmax> of 'red' is 'nan'"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "not valid XML"),
    ],
)
def test_broken_files_are_named_with_their_line(root: Path, damage: str, words: str) -> None:
    (root / "Annotations" / "test-0001.xml").write_text(damage)
    with pytest.raises(BrokenAnnotation, match=words) as error:
        read_voc_xml(root / "Annotations" / "test-0001.xml")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"test: 1 annotation file that cannot be used") as refusal:
        require_usable(data_in(root).split("test").findings)
    assert "Annotations/test-0001.xml line " in str(refusal.value) and "\n" not in str(refusal.value)


def test_parts_of_objects_and_other_tags_are_not_objects(root: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    annotate(root, "train-0000", boxed(5, 5, 20, 20, more=part + "<pose>Left</pose>"))
    split = data_in(root).split("train")
    assert [thing.box for thing in split.images[0].instances] == [(4, 4, 20, 20)]


def test_a_missing_annotation_file_is_refused(root: Path) -> None:
    (root / "Annotations" / "train-0001.xml").unlink()
    with pytest.raises(UserError, match=r"Annotations/train-0001\.xml cannot be read \(No such file"):
        require_usable(data_in(root).split("train").findings)


def test_missing_images_are_dropped_from_train_and_refused_elsewhere(root: Path) -> None:
    (root / "JPEGImages" / "train-0001.png").unlink()
    split = data_in(root).split("train")
    assert [image.name for image in split.images] == ["train-0000", "train-0002", "train-0003"]
    require_usable(split.findings)
    assert "train: 1 image that is missing (JPEGImages/train-0001.png) dropped: not trained on" in lines(
        split
    )
    (root / "JPEGImages" / "test-0001.png").write_bytes(b"")
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"test: 1 image that cannot be decoded .*test-0001\.png"):
        require_usable(data_in(root).split("test").findings)


def test_classes_are_those_of_the_files_sorted_or_of_a_list(root: Path) -> None:
    assert data_in(root).classes == ("blue", "green", "red")
    (root / "labels.txt").write_text("\ufeff__ignore__\n_background_\nred\ngreen\n\nblue\n")
    load_dataset.cache_clear()
    data = data_in(root)
    assert data.classes == ("red", "green", "blue") and "3 classes from labels.txt" in data.remarks
    (root / "labels.txt").write_text("red\ngren\nblue\n")
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"unknown class 'green' .*refused.*did you mean 'gren'"):
        require_usable(data_in(root).split("train").findings)
    (root / "labels.txt").write_text("red\nred\n")
    load_dataset.cache_clear()
    with pytest.raises(UserError, match="names the class 'red' twice"):
        data_in(root)


def test_class_names_that_differ_in_capital_letters_are_refused(root: Path) -> None:
    annotate(root, "train-0000", boxed(5, 5, 20, 20, name="Red"))
    with pytest.raises(UserError, match=r"'Red' and 'red' .*differ in capital letters"):
        data_in(root)


def test_lists_in_every_form(root: Path) -> None:
    listing = root / "ImageSets" / "Main" / "train.txt"
    listing.write_bytes(
        b"\xef\xbb\xbftrain-0000\r\nJPEGImages/train-0001.png\r\n\r\n"
        b"train-0002.png\r\ntrain-0003  1\r\ntrain-0000\r\n"
    )
    split = data_in(root).split("train")
    assert [image.name for image in split.images] == [f"train-000{number}" for number in range(4)]
    (line,) = lines(split)
    assert "1 image listed again (train-0000) converted: used once" in line


def test_an_empty_list_and_a_list_without_a_split(root: Path) -> None:
    (root / "ImageSets" / "Main" / "red_train.txt").write_text("train-0000 1\n")  # a list of one class
    assert len(data_in(root).split("train").images) == 4
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n")
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"list of images .*train\.txt is empty"):
        data_in(root)


def test_trainval_beside_train_is_not_used(root: Path) -> None:
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("train-0000\ntest-0000\n")
    data = data_in(root)
    assert len(data.split("train").images) == 4
    assert "ImageSets/Main/trainval.txt is not used, as train.txt is there" in data.remarks
    (root / "ImageSets" / "Main" / "train.txt").unlink()
    load_dataset.cache_clear()
    assert [image.name for image in data_in(root).split("train").images] == ["train-0000", "test-0000"]


def test_two_images_of_one_name(root: Path) -> None:
    Image.new("RGB", (64, 64)).save(root / "JPEGImages" / "train-0000.jpg")
    assert data_in(root).split("train").images[0].path.endswith("train-0000.png")  # as <filename> states
    change(root, "train-0000", ("train-0000.png", "other.png"))
    load_dataset.cache_clear()
    with pytest.raises(
        UserError, match=r"several images of its name .*train-0000\.jpg and .*train-0000\.png"
    ):
        require_usable(data_in(root).split("train").findings)


def test_files_beside_their_images_in_split_folders(tmp_path: Path) -> None:
    drawings = rectangles({"train": 5, "valid": 2})
    source = write_voc(tmp_path / "source", drawings)
    root = tmp_path / "exported"
    for split, drawn in drawings.splits.items():
        for image in drawn:
            save(image, root / split / f"{image.name}.jpg")
            text = (source / "Annotations" / f"{image.name}.xml").read_text()
            (root / split / f"{image.name}.xml").write_text(text)
    data = data_in(root)
    assert "read in VOC layout: train, val (valid)" in data.remarks
    assert "the split valid is evaluated, as there is no other besides train" in data.remarks
    assert [len(data.split(split).images) for split in ("train", "val", "test")] == [5, 2, 2]  # type: ignore[arg-type]
    assert data.split("train").images[0].path == "train/train-0000.jpg"
    (root / "loose.xml").write_text((root / "train" / "train-0000.xml").read_text())
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"1 annotation files .*lie in no split folder \(loose\.xml\)"):
        data_in(root)


def test_folders_of_other_names_without_splits(tmp_path: Path) -> None:
    drawings = rectangles({"all": 20})
    source = write_voc(tmp_path / "source", drawings)
    root = tmp_path / "flat"
    for image in drawings.splits["all"]:
        save(image, root / "images" / f"{image.name}.jpeg")
    (source / "Annotations").rename(root / "annotations")
    data = data_in(root)
    assert [len(data.split(split).images) for split in ("train", "test")] == [17, 3]  # type: ignore[arg-type]
    names = [{image.name for image in data.split(split).images} for split in ("train", "test")]  # type: ignore[arg-type]
    assert not names[0] & names[1]
    load_dataset.cache_clear()
    again = data_in(root)
    assert {image.name for image in again.split("test").images} == names[1]
    assert any("15% are evaluated" in remark for remark in data.remarks)


def test_files_of_one_name_in_several_folders(tmp_path: Path) -> None:
    drawings = rectangles({"one": 4, "two": 4})
    source = write_voc(tmp_path / "source", drawings)
    for folder, drawn in drawings.splits.items():
        for number, image in enumerate(drawn):
            save(image, tmp_path / "set" / "images" / folder / f"{number}.png")
            save(image, tmp_path / "set" / "masks" / folder / f"{number}.png")
            target = tmp_path / "set" / "annotations" / folder / f"{number}.xml"
            target.parent.mkdir(parents=True, exist_ok=True)
            (source / "Annotations" / f"{image.name}.xml").rename(target)
    data = data_in(tmp_path / "set")
    images = [image for split in ("train", "test") for image in data.split(split).images]  # type: ignore[arg-type]
    assert {(image.path, image.name) for image in images} == {
        (f"images/{folder}/{number}.png", f"annotations/{folder}/{number}")
        for folder in drawings.splits
        for number in range(4)
    }
    require_usable(data.split("train").findings)


def test_a_tall_image_and_names_with_spaces(tmp_path: Path) -> None:
    drawn = rectangles({"train": 2, "test": 2}, size=(48, 80))
    named = {
        split: [Drawn(f"my {image.name} é", image.pixels, image.things) for image in images]
        for split, images in drawn.splits.items()
    }
    data = data_in(write_voc(tmp_path / "set", Drawings(drawn.classes, named)))
    assert [(image.width, image.height) for image in data.split("train").images] == [(48, 80)] * 2
    assert not lines(data.split("train"))
