"""Which folder a COCO file's images are read from, where splits number their images alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from annotated_layouts import write_json
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.types import AnnotatedData
from mmbench.errors import UserError

COUNTS = {"train": 6, "val": 4, "test": 3}


def content(names: Sequence[str]) -> dict[str, object]:
    return {
        "images": [
            {"id": number, "file_name": name, "width": 20, "height": 16} for number, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [2, 3, 9, 8],
                "area": 72,
                "iscrowd": 0,
            }
            for number in range(len(names))
        ],
    }


def draw(root: Path, folder: str, names: Sequence[str], seed: int = 0) -> None:
    for number, name in enumerate(names):
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (16, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def numbered(count: int) -> list[str]:
    return [f"{number:04}.png" for number in range(count)]


def data_in(root: Path) -> AnnotatedData:
    load_dataset.cache_clear()
    annotated = load_dataset(str(root)).annotated
    assert annotated is not None and annotated.layout == "COCO"
    return annotated


def folders_of(data: AnnotatedData, *splits: str) -> list[set[str]]:
    return [{image.path.rpartition("/")[0] for image in data.split(split).images} for split in splits]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "folders"),
    [
        (("instances_train", "instances_val"), ("train2017", "val2017")),
        (("train", "valid"), ("images/train", "images/val")),
        (("train", "val"), ("images/training", "images/validation")),
        (("train", "val"), ("train_images", "val_images")),
        (("train", "val"), ("images_train", "images_val")),
        (("train", "val"), ("imgs/train", "imgs/val")),
        (("train", "val"), ("farm_train", "farm_val")),
        (("train", "val"), ("train2017/images", "val2017/images")),
        (("train", "eval"), ("train", "evaluation")),
        (("train", "val"), ("train", "eval")),
        (("train", "val", "test"), ("a_train", "a_val", "a_test")),
    ],
)
def test_images_are_those_of_the_files_split(
    tmp_path: Path, files: Sequence[str], folders: Sequence[str]
) -> None:
    for seed, (file, folder, count) in enumerate(zip(files, folders, COUNTS.values(), strict=False)):
        write_json(tmp_path / "annotations" / f"{file}.json", content(numbered(count)))
        draw(tmp_path, folder, numbered(count), seed)
    data = data_in(tmp_path)
    splits = ("train", "val", "test")[: len(files)]
    assert folders_of(data, *splits) == [{folder} for folder in folders]
    assert [len(data.split(split).images) for split in splits] == list(COUNTS.values())[: len(files)]  # type: ignore[arg-type]


def test_missing_images_are_not_those_of_another_split(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("val", 4)):
        write_json(tmp_path / "annotations" / f"{split}.json", content(numbered(count)))
    draw(tmp_path, "train2017", numbered(6))
    draw(tmp_path, "val2017", numbered(4)[:3], 1)
    with pytest.raises(UserError, match=r"val: 1 image that is missing \(val2017/0003\.png\) refused"):
        require_usable(data_in(tmp_path).split("val").findings)
    for path in (tmp_path / "val2017").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"val: 4 images that are missing \(val2017/0000\.png"):
        require_usable(data_in(tmp_path).split("val").findings)


def test_one_folder_of_the_images_of_both_splits(tmp_path: Path) -> None:
    names = numbered(9)
    write_json(tmp_path / "train.json", content(names[:6]))
    write_json(tmp_path / "val.json", content(names[6:]))
    draw(tmp_path, "train", names)
    data = data_in(tmp_path)
    assert folders_of(data, "train", "val") == [{"train"}, {"train"}]
    assert "images of val.json are read from train, as no folder is of val" in data.remarks
    require_usable(data.split("val").findings)
    write_json(tmp_path / "val.json", content(names[5:]))  # train.json lists one of them: another image
    with pytest.raises(UserError, match=r"val: 1 image that is missing \(0005\.png\) refused"):
        require_usable(data_in(tmp_path).split("val").findings)


def test_images_in_two_folders_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "annotations" / "train.json", content(numbered(6)))
    for seed, folder in enumerate(("north", "south")):
        draw(tmp_path, folder, numbered(6), seed)
    with pytest.raises(UserError) as error:
        load_dataset(str(tmp_path), layout="coco")
    assert str(error.value) == (
        f"images of {tmp_path}/annotations/train.json are in north and in south, and it is unclear which are "
        "meant; call one of them train, or write the folder into each file_name"
    )
    (tmp_path / "south").rename(tmp_path / "images")  # the usual name
    load_dataset.cache_clear()
    annotated = load_dataset(str(tmp_path), layout="coco").annotated
    assert annotated is not None and folders_of(annotated, "train") == [{"images"}]
    (tmp_path / "images").rename(tmp_path / "south")
    (tmp_path / "south" / "0000.png").unlink()  # only the other one has all
    load_dataset.cache_clear()
    annotated = load_dataset(str(tmp_path), layout="coco").annotated
    assert annotated is not None and folders_of(annotated, "train") == [{"north"}]


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "annotations" / "train.json", content(numbered(6)))
    for seed, folder in enumerate(("train", "images/train")):
        draw(tmp_path, folder, numbered(6), seed)
    with pytest.raises(UserError, match=r"in images/train and in train, .*; keep one of them, or write the"):
        load_dataset(str(tmp_path), layout="coco")


def test_thumbnails_of_equal_names_are_not_the_images(tmp_path: Path) -> None:
    write_json(tmp_path / "annotations" / "train.json", content(numbered(6)))
    for seed, folder in enumerate(("depth", "rgb", "thumbs")):
        draw(tmp_path, folder, numbered(6), seed)
    load_dataset.cache_clear()
    annotated = load_dataset(str(tmp_path), layout="coco").annotated
    assert annotated is not None and folders_of(annotated, "train") == [{"rgb"}]


def annotate(root: Path, **names: Sequence[str]) -> None:
    for split, listed in names.items():
        write_json(root / "annotations" / f"{split}.json", content(listed))


def missing(root: Path) -> list[str]:
    data = data_in(root)
    found = [finding for split in data.finders for finding in data.split(split).findings]
    return [place for finding in found if "missing" in finding.what for place in finding.examples]


def test_a_missing_image_is_not_the_one_of_that_name_elsewhere(tmp_path: Path) -> None:
    train, val = [f"cam1/{name}" for name in numbered(5)], [f"cam2/{name}" for name in numbered(3)]
    annotate(tmp_path, train=train, val=val)
    draw(tmp_path, "images", train)
    draw(tmp_path, "images", val[:2], 1)
    with pytest.raises(UserError, match=r"val: 1 image that is missing \(images/cam2/0002\.png\) refused"):
        require_usable(data_in(tmp_path).split("val").findings)
    annotate(tmp_path, train=train[:2], val=val)  # no entry names cam1/0002.png, but cam2 is here
    assert missing(tmp_path)[:1] == ["images/cam2/0002.png"]
    annotate(tmp_path, train=[*train, "old/0003.png"], val=val[:2])  # no such folder; cam1's has an entry
    assert missing(tmp_path) == ["images/old/0003.png"]
    annotate(tmp_path, train=train[:3], val=[*val[:2], "old/0003.png"])  # nobody else's
    assert missing(tmp_path) == []
    assert "images/cam1/0003.png" in [image.path for image in data_in(tmp_path).split("val").images]
    annotate(tmp_path, train=[*train[:3], "a/0003.png"], val=[*val[:2], "b/0003.png"])  # two want it
    assert missing(tmp_path) == ["images/a/0003.png", "images/b/0003.png", "images/b/0003.png"]


def test_foreign_paths_of_two_splits_are_two_images(tmp_path: Path) -> None:
    annotate(
        tmp_path,
        train=[f"C:\\data\\north\\{name}" for name in numbered(4)],
        val=[f"C:\\data\\south\\{name}" for name in numbered(3)],
    )
    draw(tmp_path, "images", numbered(4))
    with pytest.raises(UserError, match="val: 3 images that are missing"):
        require_usable(data_in(tmp_path).split("val").findings)
    assert [image.path for image in data_in(tmp_path).split("train").images] == ["images/0003.png"]


def test_foreign_paths_that_hold_names_of_folders_around_the_image(tmp_path: Path) -> None:
    annotate(
        tmp_path, train=[f"/home/me/images/{name}" for name in numbered(4)], val=["/home/me/images/9.png"]
    )
    draw(tmp_path, "images/train", numbered(4))
    draw(tmp_path, "images/val", ["9.png"], 1)
    data = data_in(tmp_path)
    assert folders_of(data, "train", "val") == [{"images/train"}, {"images/val"}]
    require_usable([*data.split("train").findings, *data.split("val").findings])


def test_points_in_file_names_do_not_make_two_images(tmp_path: Path) -> None:
    annotate(tmp_path, train=["./0000.png", "0000.png", ".//0001.png"], val=["0002.png"])
    draw(tmp_path, "images", numbered(3))
    data = data_in(tmp_path)
    assert [image.path for image in data.split("train").images] == ["images/0000.png", "images/0001.png"]
