"""How a user's folder of images with label maps is recognised: every layout reads back the same labels."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from annotated_layouts import rectangles, write_coco, write_yolo
from label_map_layouts import (
    CLASSES,
    Labelled,
    Truth,
    save_image,
    save_labels,
    tiny,
    write_classes,
    write_mmseg,
    write_plain,
    write_scenes,
    write_voc_masks,
)
from PIL import Image

from mmbench.data import Dataset, load_dataset
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.pixels import read_labels
from mmbench.errors import UserError

TRUTH = tiny({"train": 6, "val": 3})
Writer = Callable[[Path, Truth], Path]


def loaded(root: Path, layout: str | None = None) -> Dataset:
    load_dataset.cache_clear()
    return load_dataset(str(root), layout=layout)


def maps_of(root: Path, layout: str | None = None) -> AnnotatedData:
    return loaded(root, layout).require_label_maps()


def require_equal(data: AnnotatedData, truth: Truth = TRUTH, pixels: bool = True) -> None:
    """Compare what is read, pixel for pixel, with what was written."""
    assert data.classes == CLASSES and data.label_maps is not None and data.label_maps.background == 0
    for split, labelled in truth.items():
        part = data.split(split)  # type: ignore[arg-type]
        by_name = {one.name: one for one in labelled}
        assert len(part.images) == len(by_name)
        for image in part.images:
            one = by_name[re.search(r"(train|val|test)-\d{4}", image.name)[0]]  # type: ignore[index]
            assert image.label_map is not None and (image.height, image.width) == one.labels.shape
            assert (read_labels(part.root / image.label_map, data.label_maps.coding) == one.labels).all()
            if pixels and image.path.endswith(".png"):
                assert (np.asarray(Image.open(part.root / image.path)) == one.pixels).all()


def plain(images: str, masks: str) -> Writer:
    return lambda root, truth: write_plain(root, truth, images=images, masks=masks)


LAYOUTS: dict[str, tuple[str, Writer]] = {
    "mmseg": ("mmseg", write_mmseg),
    "mmseg, towns": ("mmseg", lambda root, truth: write_mmseg(root, truth, towns=True)),
    "mmseg, names of Cityscapes": (
        "mmseg",
        lambda root, truth: write_mmseg(
            root,
            truth,
            image="NAME_leftImg8bit.png",
            label_map="NAME_gtFine_labelTrainIds.png",
            towns=True,
        ),
    ),
    "mmseg, jpg": ("mmseg", lambda root, truth: write_mmseg(root, truth, image="NAME.jpg")),
    "mmseg, before": ("mmseg", lambda root, truth: write_mmseg(root, truth, label_map="mask_NAME.png")),
    "voc": ("voc", write_voc_masks),
    "voc, lists elsewhere": ("voc", lambda root, truth: write_voc_masks(root, truth, lists="ImageSets")),
    "plain": ("masks", write_plain),
    "plain, jpg": ("masks", plain("images/SPLIT/NAME.jpg", "masks/SPLIT/NAME.png")),
    "splits first": ("masks", plain("SPLIT/images/NAME.png", "SPLIT/masks/NAME.png")),
    "masks inside images of a split": ("masks", plain("SPLIT/NAME.png", "SPLIT/masks/NAME.png")),
    "CamVid": ("masks", plain("SPLIT/NAME.png", "SPLIT_labels/NAME_L.png")),
    "SegNet": ("masks", plain("SPLIT/NAME.png", "SPLITannot/NAME.png")),
    "kinds and splits in one": ("masks", plain("images_SPLIT/NAME.png", "masks_SPLIT/NAME.png")),
    "Cityscapes": (
        "masks",
        plain("leftImg8bit/SPLIT/ulm/NAME_leftImg8bit.png", "gtFine/SPLIT/ulm/NAME_gtFine_labelIds.png"),
    ),
    "one folder of masks": ("masks", plain("images/SPLIT/NAME.png", "masks/NAME.png")),
    "one folder of images": ("masks", plain("images/NAME.png", "masks/SPLIT/NAME.png")),
    "folders only of images": ("masks", plain("images/SPLIT/rome/NAME.png", "masks/SPLIT/NAME.png")),
    "images of another name": ("masks", plain("micro/SPLIT/NAME.png", "masks/SPLIT/NAME.png")),
    "beside": ("masks", plain("SPLIT/NAME.jpg", "SPLIT/NAME_mask.png")),
    "beside, one name": ("masks", plain("SPLIT/NAME.jpg", "SPLIT/NAME.png")),
    "beside, DeepGlobe": ("masks", plain("SPLIT/NAME_sat.jpg", "SPLIT/NAME_mask.png")),
    "beside, in a folder": ("masks", plain("images/SPLIT/NAME.jpg", "images/SPLIT/NAME-label.png")),
    "lists": ("masks", lambda root, truth: with_lists(write_flat(root, truth), truth, "")),
    "lists in splits": ("masks", lambda root, truth: with_lists(write_flat(root, truth), truth, "splits")),
}
FOLDERS = ("masks", "mask", "labels", "label", "annotations", "segmentation", "gt", "ground_truth", "Labels")


def write_flat(root: Path, truth: Truth) -> Path:
    return write_plain(root, truth, images="images/NAME.png", masks="masks/NAME.png")


def with_lists(root: Path, truth: Truth, place: str) -> Path:
    (root / place).mkdir(exist_ok=True)
    for split, labelled in truth.items():
        (root / place / f"{split}.txt").write_text("".join(f"images/{one.name}.png\n" for one in labelled))
    return root


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_reads_back_the_same_labels(tmp_path: Path, name: str) -> None:
    layout, write = LAYOUTS[name]
    root = write(tmp_path / "set", TRUTH)
    write_classes(root / "classes.txt")
    dataset = loaded(root)
    assert dataset.annotated is None and not dataset.splits and dataset.name == "set"
    data = dataset.require_label_maps()
    title = {"mmseg": "mmsegmentation", "voc": "VOC"}.get(layout, "masks")
    assert data.layout == title and f"read in {title} layout: train, val" in data.remarks
    assert "4 classes from classes.txt" in data.remarks
    require_equal(data)
    assert data.split("test") is data.split("val")  # the split that is there is evaluated by either name
    require_equal(maps_of(root, layout))
    for other in {"mmseg", "voc", "masks", "coco", "yolo"} - {layout}:
        if not (other == "masks" and name.startswith("mmseg")):
            with pytest.raises(UserError, match=r"layout, which has .*; check --layout"):
                loaded(root, other)


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_of_label_maps_have_many_names(tmp_path: Path, folder: str) -> None:
    root = write_plain(tmp_path, TRUTH, images="Images/SPLIT/NAME.png", masks=f"{folder}/SPLIT/NAME.png")
    write_classes(root / "classes.txt")
    require_equal(maps_of(root))


@pytest.mark.parametrize(
    ("train", "val"), [("Training", "Validation"), ("train2017", "valid"), ("TrainSet", "dev_set")]
)
def test_splits_have_many_spellings(tmp_path: Path, train: str, val: str) -> None:
    renamed = {train: TRUTH["train"], val: TRUTH["val"]}
    root = write_plain(tmp_path / "set", renamed)
    (root / "masks" / val).rename(root / "masks" / "VAL")  # spelled in two ways
    write_classes(root / "classes.txt")
    data = maps_of(root)
    assert data.remarks[0] == f"read in masks layout: train ({train}), val ({val})"
    require_equal(data)


def test_three_splits_stay_three(tmp_path: Path) -> None:
    truth = tiny({"train": 4, "val": 2, "test": 3})
    write_classes(write_plain(tmp_path, truth) / "classes.txt")
    require_equal(maps_of(tmp_path), truth)


def test_system_files_are_no_data(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH)
    for folder in ("images/train", "masks/train", "masks", "."):
        for name in (".DS_Store", "Thumbs.db", "._train-0000.png", "desktop.ini"):
            (root / folder / name).write_bytes(b"\0")
    (root / "__MACOSX" / "masks").mkdir(parents=True)
    (root / "__MACOSX" / "masks" / "x.png").write_bytes(b"\0")
    write_classes(root / "classes.txt")
    require_equal(maps_of(root))


def test_folders_around_the_data_are_entered_and_said(tmp_path: Path) -> None:
    root = write_plain(tmp_path / "archive" / "export", TRUTH)
    write_classes(root / "classes.txt")
    data = maps_of(tmp_path / "archive")
    assert "archive/export" in data.remarks[0] and data.name == "archive"
    require_equal(data)


def test_without_splits_some_images_are_held_out(tmp_path: Path) -> None:
    truth = tiny({"train": 20})
    write_classes(write_flat(tmp_path, truth) / "classes.txt")
    data = maps_of(tmp_path)
    assert any(line.startswith("no split to evaluate: 85% of the images") for line in data.remarks)
    names = {split: {image.name for image in data.split(split).images} for split in ("train", "val", "test")}  # type: ignore[arg-type]
    assert len(names["val"]) == 3 and names["val"] == names["test"]
    assert names["train"] | names["val"] == {one.name for one in truth["train"]}
    assert not names["train"] & names["val"]


def test_voc_with_boxes_has_both(tmp_path: Path) -> None:
    root = write_voc_masks(tmp_path, TRUTH, boxes=True)
    write_classes(root / "labels.txt", ("__ignore__", "_background_", *CLASSES[1:]))
    for layout in (None, "voc"):
        dataset = loaded(root, layout)
        assert dataset.annotated is not None and dataset.annotated.classes == CLASSES[1:]
        assert len(dataset.annotated.split("train").images) == 6
        require_equal(dataset.require_label_maps())
        assert "'__ignore__' in labels.txt is no class" in dataset.require_label_maps().remarks


def test_scenes_have_boxes_and_label_maps(tmp_path: Path) -> None:
    root = write_scenes(tmp_path, TRUTH)
    dataset = loaded(root)
    assert dataset.annotated is not None and dataset.annotated.classes == CLASSES[1:]
    data = dataset.require_label_maps()
    require_equal(data)
    assert any("classes of label maps are those of the boxes" in line for line in data.remarks)
    assert loaded(root, "coco").label_maps is None and loaded(root, "coco").annotated is not None
    assert loaded(root, "masks").annotated is None


def test_several_voc_folders_are_refused(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        write_voc_masks(tmp_path / "VOCdevkit" / year, TRUTH)
    refused(tmp_path / "VOCdevkit", r"holds several VOC folders \(VOC2007, VOC2012\); give one of them")
    refused(tmp_path / "VOCdevkit", "holds several VOC folders", "voc")
    shutil.rmtree(tmp_path / "VOCdevkit/VOC2007")
    assert len(maps_of(tmp_path / "VOCdevkit").split("train").images) == 6


def test_what_is_neither_image_nor_label_map_is_counted(tmp_path: Path) -> None:
    root = write_voc_masks(tmp_path, TRUTH)
    write_classes(root / "classes.txt")
    for one in TRUTH["val"]:
        save_labels(one.labels, root / "SegmentationObject" / f"{one.name}.png")
    save_image(TRUTH["val"][0], root / "preview.png")
    data = maps_of(root)
    require_equal(data)
    (line,) = [line for line in data.remarks if "left out" in line]
    assert line.startswith("4 image files in other places left out (SegmentationObject/val-0000.png, ")


def test_the_folder_of_patterns_scenes_has_both(small_patterns: Path) -> None:
    folder = next(path.parent for path in small_patterns.rglob("segmentation") if path.is_dir())
    dataset = loaded(folder)
    named = load_dataset("patterns", small_patterns.parent)
    assert dataset.annotated is not None and dataset.annotated.layout == "COCO"
    data, known = dataset.require_label_maps(), named.require_label_maps()
    assert data.classes == known.classes
    for split in ("train", "val", "test"):
        images = {image.path for image in data.split(split).images}  # type: ignore[arg-type]
        assert images == {image.path for image in known.split(split).images}  # type: ignore[arg-type]


def test_boxes_alone_have_no_label_maps(tmp_path: Path) -> None:
    write_yolo(tmp_path / "yolo", rectangles({"train": 4, "val": 2}))
    write_coco(tmp_path / "coco", rectangles({"train": 4, "val": 2}))
    for folder in ("yolo", "coco"):
        dataset = loaded(tmp_path / folder)
        assert dataset.annotated is not None and dataset.label_maps is None


def test_lists_of_other_forms(tmp_path: Path) -> None:
    root = write_voc_masks(tmp_path, TRUTH)
    write_classes(root / "classes.txt")
    lists = root / "ImageSets" / "Segmentation"
    names = [one.name for one in TRUTH["train"]]
    (lists / "train.txt").write_text(
        "".join(f"/JPEGImages/{name}.png /SegmentationClass/{name}.png\n" for name in names)
    )
    (lists / "trainval.txt").write_text("".join(f"{name}\n" for name in names))
    (lists / "all.txt").write_text("".join(f"{name}\n" for name in names))
    data = maps_of(root)
    require_equal(data)
    assert "ImageSets/Segmentation/trainval.txt is not used, as a list of train is there" in data.remarks
    assert "lists in ImageSets/Segmentation that name no split are not used (all)" in data.remarks
    (lists / "val.txt").write_text("")
    with pytest.raises(UserError, match=r"val\.txt is empty"):
        loaded(root)
    (lists / "val.txt").write_text("x1\nx2\n")
    with pytest.raises(UserError, match=r"none of the 2 lines of .*val\.txt names an image \(such as x1\)"):
        loaded(root)


def test_one_list_of_another_name_is_trained_on(tmp_path: Path) -> None:
    root = write_voc_masks(tmp_path, tiny({"default": 10}))
    write_classes(root / "classes.txt")
    data = maps_of(root)
    assert "ImageSets/Segmentation/default.txt is the only list, and is trained on" in data.remarks
    assert len(data.split("train").images) == 8 and len(data.split("val").images) == 2
    (root / "ImageSets/Segmentation/other.txt").write_text("default-0000\n")
    with pytest.raises(UserError, match=r"none of the lists .* is named like a split \(default, other\)"):
        loaded(root)


def test_images_in_no_list_are_counted(tmp_path: Path) -> None:
    root = write_voc_masks(tmp_path, TRUTH)
    write_classes(root / "classes.txt")
    save_image(TRUTH["val"][0], root / "JPEGImages" / "more.png")
    assert "1 image in no list left out" in maps_of(root).remarks


def test_a_split_without_label_maps_is_left_out_and_said(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH)
    write_classes(root / "classes.txt")
    for number in range(4):
        save_image(TRUTH["val"][0], root / "images" / "test" / f"t{number}.png")
    data = maps_of(root)
    assert "4 images of test without label maps left out" in data.remarks
    require_equal(data)
    shutil.rmtree(root / "masks" / "train")
    with pytest.raises(
        UserError, match=r"none of the 6 images of train in .* has a label map \(images/train/"
    ):
        loaded(root)


def test_what_has_no_counterpart_is_kept_for_the_check(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH)
    write_classes(root / "classes.txt")
    (root / "masks/train/train-0002.png").unlink()
    (root / "images/train/train-0003.png").unlink()
    from mmbench.data.label_maps.own_files import read_files
    from mmbench.data.label_maps.own_folder import find_label_maps

    folder = find_label_maps(root, read_files(root), "masks")
    assert folder is not None
    without = [pair for pair in folder.parts["train"] if not pair.image or not pair.label_map]
    assert {(pair.image, pair.label_map, pair.name) for pair in without} == {
        ("images/train/train-0002.png", "", "train-0002"),
        ("", "masks/train/train-0003.png", "train-0003"),
    }


def test_other_files_beside_label_maps_are_counted(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH, masks="masks/SPLIT/NAME.png")
    write_classes(root / "classes.txt")
    for one in TRUTH["train"]:
        save_labels(one.labels, root / "masks/train" / f"{one.name}_color.png", "RGB")
    data = maps_of(root)
    assert any(
        line.startswith("6 files beside label maps left out (masks/train/train-0000_color.png")
        for line in data.remarks
    )
    require_equal(data)


def refused(root: Path, match: str, layout: str | None = None) -> None:
    with pytest.raises(UserError, match=match) as error:
        loaded(root, layout)
    assert "\n" not in str(error.value)


def test_several_label_maps_per_image_are_refused(tmp_path: Path) -> None:
    root = write_plain(tmp_path / "a", TRUTH, masks="masks/SPLIT/NAME_one.png")
    write_plain(root, TRUTH, masks="masks/SPLIT/NAME_two.png")
    refused(root, r"have 2 label maps each \(NAME_(one|two) and NAME_(one|two)\); keep those of one kind")
    root = write_plain(tmp_path / "b", TRUTH, masks="masks/SPLIT/NAME.png")
    write_plain(root, TRUTH, masks="masks/SPLIT/NAME.bmp", mode="L")
    refused(root, r"two label maps of one image \(masks/train/train-0000.bmp, masks/train/train-0000.png\)")
    root = write_plain(tmp_path / "c", TRUTH)
    write_plain(root, TRUTH, masks="labels/SPLIT/NAME.png")
    refused(root, r"label maps in two folders \(labels/train/.*, masks/train/.*\); keep one of them")


def test_two_layouts_of_label_maps_are_a_choice(tmp_path: Path) -> None:
    root = write_mmseg(write_plain(tmp_path, TRUTH), TRUTH)
    write_classes(root / "classes.txt")
    refused(root, "can be read as mmsegmentation and as masks; choose by --layout mmseg or --layout masks")
    for layout, folder in (("mmseg", "ann_dir"), ("masks", "masks")):
        data = maps_of(root, layout)
        require_equal(data)
        assert all((image.label_map or "").startswith(folder) for image in data.split("train").images)


def test_names_that_differ_altogether_are_refused(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH)
    for number, path in enumerate(sorted(root.glob("masks/*/*.png"))):
        path.rename(path.with_name(f"{chr(97 + number)}.png"))
    refused(root, r"have other names than images \(masks/train/a.png and images/train/train-0000.png\)")


def test_label_maps_inside_and_outside_splits_are_refused(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH)
    one = TRUTH["train"][0]
    save_image(one, root / "images" / "x.png")
    save_labels(one.labels, root / "masks" / "x.png")
    refused(root, r"1 label map in .* lie in no split folder \(masks/x.png\), but others do \(train, val\)")


def photographs(root: Path, folders: tuple[str, ...], ending: str = "jpg") -> Path:
    rng = np.random.default_rng(0)
    for folder in folders:
        for number in range(8):
            pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
            one = Labelled("", pixels, pixels[..., 0])
            save_image(one, root / folder / f"{number}.{ending}")
    return root


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize(
    "folders",
    [("mask", "no_mask"), ("train/mask", "train/face"), ("labels", "boxes"), ("cat", "cat/mask", "dog")],
)
def test_class_folders_stay_what_they_were(tmp_path: Path, folders: tuple[str, ...], ending: str) -> None:
    dataset = loaded(photographs(tmp_path, folders, ending))
    assert dataset.label_maps is None and "train" in dataset.splits and len(dataset.classes) == 2


def test_classes_of_images_beside_their_label_maps_are_a_choice(tmp_path: Path) -> None:
    """As in sets of lesions: benign/benign (1).png and benign/benign (1)_mask.png."""
    root = photographs(tmp_path, ("benign", "malignant"), "png")
    for path in sorted(root.glob("*/*.png")):
        path = path.rename(path.with_name(f"{path.parent.name} ({path.stem}).png"))
        save_labels(TRUTH["train"][0].labels[:20, :20], path.with_name(f"{path.stem}_mask.png"))
    refused(root, "can be read as masks and as class folders; choose by --layout masks or --layout folder")
    write_classes(root / "classes.txt")
    data = maps_of(root, "masks")
    assert len(data.split("train").images) == 14
    path = root / "benign" / "benign (1)_mask_1.png"  # another part of the same image
    save_labels(TRUTH["train"][1].labels[:20, :20], path)
    line = "1 file beside label maps left out (benign/benign (1)_mask_1.png)"
    assert line in maps_of(root, "masks").remarks
    assert loaded(root, "folder").classes == ("benign", "malignant")


def test_images_beside_photographs_of_their_name_are_no_label_maps(tmp_path: Path) -> None:
    root = photographs(photographs(tmp_path, ("a", "b"), "jpg"), ("a", "b"), "png")
    assert loaded(root).label_maps is None and loaded(root).classes == ("a", "b")
