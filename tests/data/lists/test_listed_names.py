"""Which image a line of a list means where splits, packed copies and other machines have equal names."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from packable import header, packed
from PIL import Image

from mmbench.data import Dataset, load_dataset
from mmbench.data.lists.label_lists import labelled_indices
from mmbench.data.lists.listed_names import ImageNames, NamedPart, image_names
from mmbench.errors import UserError
from mmbench.files import write_json
from mmbench.verification import with_digest

FOLDERS = ("train", "val", "test")
KINDS = ("folder", "packed copy", "packed copy of before")


def write_images(root: Path, folders: tuple[str, ...] = FOLDERS, numbers: int = 2) -> Path:
    """Write images of the same classes and names in every folder."""
    for folder, name, number in itertools.product(folders, "ab", range(numbers)):
        (root / folder / name).mkdir(parents=True, exist_ok=True)
        colour = (len(folder), ord(name), number)
        Image.new("RGB", (8, 8), colour).save(root / folder / name / f"{number}.png")
    return root


@pytest.fixture(params=KINDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    source = write_images(tmp_path / "pets")
    if request.param == "folder":
        return load_dataset(str(source))
    pack = packed(source, tmp_path / "pack")
    if request.param != "packed copy":
        content = header(pack.root)
        del content["digest"]
        for facts in content["splits"].values():
            del facts["folder"]
        write_json(pack.root / "pack.json", with_digest(content))
        load_dataset.cache_clear()
        return load_dataset(str(pack.root))
    return pack


def meant(dataset: Dataset, item: str) -> list[tuple[str, str]]:
    """Return split and path of what a line can mean, counted through train and val as indices do."""
    every = [(split, path) for split in ("train", "val") for path in dataset.files[split]().paths]  # type: ignore[index]
    names = image_names(dataset)
    assert names is not None
    return [every[index] for index in names.find(item) if index < names.asked]


@pytest.mark.parametrize(
    ("item", "split"),
    [
        ("a/1.png", "train"),  # first train, then val
        ("train/a/1.png", "train"),
        ("./train/a/1.png", "train"),
        ("pets/train/a/1.png", "train"),
        ("/other/machine/pets/train/a/1.png", "train"),
        ("/home/test/pets/train/a/1.png", "train"),
        ("/other/machine/Training/images/a/1.png", "train"),
        ("/other/machine/pets/a/1.png", "train"),
        ("/other/dev/images/a/1.png", "val"),
        ("val/a/1.png", "val"),
        ("/other/machine/pets/val/a/1.png", "val"),
        ("/other/train/pets/val/a/1.png", "val"),
        ("/other/machine/validation/a/1.png", "val"),
        ("test/a/1.png", None),
        ("/other/machine/pets/test/a/1.png", None),
        ("/other/machine/Testing/images/a/1.png", None),
        ("b/a/1.png", None),  # b is a class: its folder is not left out
        ("train/a/2.png", None),
        ("c/1.png", None),
    ],
)
def test_a_line_means_the_split_that_its_folders_name(opened: Dataset, item: str, split: str | None) -> None:
    assert meant(opened, item) == ([] if split is None else [(split, "a/1.png")])


def test_a_name_alone_may_mean_several(opened: Dataset) -> None:
    assert meant(opened, "1.png") == [(split, f"{name}/1.png") for split in ("train", "val") for name in "ab"]


def test_a_path_of_this_machine_is_that_file(tmp_path: Path) -> None:
    """Also through a link to the folder, and never another file of its class and name."""
    dataset = load_dataset(str(write_images(tmp_path / "pets")))
    (tmp_path / "link").symlink_to(tmp_path / "pets")
    linked = load_dataset(str(tmp_path / "link"))
    for data, folder in itertools.product((dataset, linked), ("pets", "link")):
        if data is dataset and folder == "link":
            continue  # a path that only names a folder of another machine
        for split in ("train", "val"):
            assert meant(data, str(tmp_path / folder / split / "b" / "0.png")) == [(split, "b/0.png")]
        assert meant(data, str(tmp_path / folder / "test" / "b" / "0.png")) == []
        assert meant(data, str(tmp_path / folder / "b" / "0.png")) == []


def test_splits_of_other_names(tmp_path: Path) -> None:
    dataset = load_dataset(str(write_images(tmp_path / "pets", ("seg_train", "seg_val", "seg_test"))))
    assert meant(dataset, "seg_val/a/1.png") == meant(dataset, "val/a/1.png") == [("val", "a/1.png")]
    assert meant(dataset, "seg_train/a/1.png") == meant(dataset, "/x/train/a/1.png") == [("train", "a/1.png")]
    assert meant(dataset, "seg_test/a/1.png") == meant(dataset, "seg_test/a/7.png") == []


def test_a_val_split_that_is_drawn_from_train(tmp_path: Path) -> None:
    """Its images lie in train, as published lists have them; there is no folder of val."""
    dataset = load_dataset(str(write_images(tmp_path / "pets", ("train", "test"), numbers=9)))
    held_out = list(dataset.files["val"]().paths)
    assert held_out
    for path in held_out:
        for item in (path, f"train/{path}", f"/other/pets/train/{path}"):
            assert meant(dataset, item) == [("val", path)]
        assert meant(dataset, f"val/{path}") == meant(dataset, f"test/{path}") == []


def test_classes_without_split_folders(tmp_path: Path) -> None:
    """Lists of the same images may say train, or the folder's own name, which may be that of a split."""
    dataset = load_dataset(str(write_images(tmp_path / "pets", ("test",), numbers=9) / "test"))
    for split in ("train", "val"):
        path = dataset.files[split]().paths[0]  # type: ignore[index]
        for item in (path, f"train/{path}", f"test/{path}", f"/other/test/{path}", f"/other/pets/{path}"):
            assert meant(dataset, item) == [(split, path)]
        assert meant(dataset, f"val/{path}") == meant(dataset, f"/other/valid/images/{path}") == []
    evaluated = dataset.files["test"]().paths[0]
    assert meant(dataset, evaluated) == meant(dataset, f"train/{evaluated}") == []


def test_folders_below_the_class_may_be_left_out() -> None:
    paths = ("n01/images/n01_1.JPEG", "n02/images/n02_1.JPEG")
    names = ImageNames([NamedPart("train", "train", paths)], Path("tiny"), asked=1)
    for item in ("n02/n02_1.JPEG", "train/n02/n02_1.JPEG", "images/n02_1.JPEG", "n02_1.JPEG"):
        assert names.find(item) == [1]
    assert names.find("n01/n02_1.JPEG") == names.find("test/n02/n02_1.JPEG") == []


def test_names_as_outcomes_have_them() -> None:
    parts = [NamedPart("train", "train", ("ni\udcf1o/1.png",)), NamedPart("test", "test", ("b/1.png",))]
    names = ImageNames(parts, Path("pets"), asked=1)
    assert names.find("train/ni\\xf1o/1.png") == [0]
    assert names.find("test/b/1.png") == [1]  # known, and not asked for


def test_columns_that_name_a_training_image_and_another_are_refused(tmp_path: Path) -> None:
    """The second column says that the name in the first one is of a test image."""
    parts = [NamedPart("train", "train", ("a/1.png", "b/2.png")), NamedPart("test", "test", ("a/1.png",))]
    names = ImageNames(parts, Path("pets"), asked=1)
    (tmp_path / "list.csv").write_text("image,path\n1.png,test/a/1.png\n")
    with pytest.raises(UserError, match=r"line 2: .* names several images"):
        labelled_indices(tmp_path / "list.csv", names, 2)
    (tmp_path / "list.csv").write_text("image,path\nd/b/2.png,d/a/1.png\n")
    with pytest.raises(UserError, match=r"line 2: .* names several images"):
        labelled_indices(tmp_path / "list.csv", names, 2)
    (tmp_path / "list.csv").write_text("image,path\n1.png,train/a/1.png\n")
    assert labelled_indices(tmp_path / "list.csv", names, 2).tolist() == [0]
    (tmp_path / "list.csv").write_text("test/a/1.png 0\n")
    with pytest.raises(UserError, match=r"'test/a/1.png 0' is not an image in train of pets"):
        labelled_indices(tmp_path / "list.csv", names, 2)
