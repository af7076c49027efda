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


def test_thumbnails_of_equal_names_are_not_the_images(tmp_path: Path) -> None:
    write_json(tmp_path / "annotations" / "train.json", content(numbered(6)))
    for seed, folder in enumerate(("depth", "rgb", "thumbs")):
        draw(tmp_path, folder, numbered(6), seed)
    load_dataset.cache_clear()
    annotated = load_dataset(str(tmp_path), layout="coco").annotated
    assert annotated is not None and folders_of(annotated, "train") == [{"rgb"}]
