"""Caltech-101 in its layout: one folder per class, numbered images, and a background folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets.caltech as reader
from torchvision.datasets import Caltech101

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

SIZES = {"Faces": 40, "accordion": 31, "zebra": 33}  # in torchvision's order: by code point


def write_caltech(folder: Path, image) -> Path:
    images = folder / "101_ObjectCategories"
    for name, count in (SIZES | {"BACKGROUND_Google": 5}).items():
        for number in range(1, count + 1):
            image(images / name / f"image_{number:04d}.jpg", size=(4, 4))
    return images


@pytest.fixture
def images(tmp_path: Path, image, stand_in) -> Path:
    stand_in("caltech101", classes=3, official={"all": 104}, images={"train": 75, "val": 15, "test": 14})
    return write_caltech(tmp_path / "caltech101" / "caltech101", image)


def test_thirty_of_each_class_are_drawn(tmp_path: Path, images: Path) -> None:
    dataset = load_dataset("caltech101", tmp_path)
    assert (dataset.classes, dataset.metric) == (tuple(SIZES), "mean_per_class")
    counts = [dataset.labels(split).bincount().tolist() for split in ("train", "val", "test")]
    assert counts == [[25] * 3, [5] * 3, [10, 1, 3]]
    generator = np.random.default_rng(0)
    expected: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for name, count in SIZES.items():
        order = generator.permutation(np.arange(count)) + 1  # the generator permutes names by position
        for split, numbers in (("train", order[:25]), ("val", order[25:30]), ("test", order[30:])):
            expected[split] += [
                f"101_ObjectCategories/{name}/image_{number:04d}.jpg" for number in sorted(numbers)
            ]
    assert {split: dataset.files[split]().paths for split in expected} == expected


def test_a_hole_in_the_numbers_is_found(tmp_path: Path, images: Path, image) -> None:
    (images / "zebra" / "image_0007.jpg").rename(images / "zebra" / "image_0099.jpg")
    with pytest.raises(UserError, match=r"1 of 104 all images .* the first is .*zebra/image_0007\.jpg"):
        load_dataset("caltech101", tmp_path).labels("test")


def test_a_class_that_is_too_small(tmp_path: Path, images: Path, image) -> None:
    (images / "accordion" / "image_0031.jpg").unlink()
    image(images / "zebra" / "image_0034.jpg")
    with pytest.raises(UserError, match="a class has only 30 images"):
        load_dataset("caltech101", tmp_path).labels("train")


def test_the_background_folder_is_not_read(tmp_path: Path, images: Path) -> None:
    (images / "BACKGROUND_Google" / "tmp").write_text("as the authors' archive has it")
    assert "BACKGROUND_Google" not in load_dataset("caltech101", tmp_path).classes
    shutil.rmtree(images / "BACKGROUND_Google")
    load_dataset.cache_clear()
    assert load_dataset("caltech101", tmp_path).labels("test").tolist() == [0] * 10 + [1] + [2] * 3
    (images / "tmp").mkdir()
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"caltech101 in .* has 4 classes where its manifest says 3"):
        load_dataset("caltech101", tmp_path)


def test_a_missing_folder_is_one_line(tmp_path: Path, images: Path) -> None:
    images.rename(images.with_name("elsewhere"))
    with pytest.raises(UserError, match=r"caltech101 in .* cannot be read \(FileNotFoundError: .*; put that"):
        load_dataset("caltech101", tmp_path)


def test_files_that_systems_put_there_are_left_out(tmp_path: Path, images: Path) -> None:
    assert load_dataset("caltech101", tmp_path).classes == tuple(
        Caltech101(str(tmp_path / "caltech101")).categories
    )
    untouched = load_dataset("caltech101", tmp_path).fingerprint
    load_dataset.cache_clear()
    for name in (".DS_Store", "._zebra", "zebra/.DS_Store", "zebra/Thumbs.db", "zebra/._image_0001.jpg"):
        (images / name).write_bytes(b"made by a system")
    (images / "__MACOSX").mkdir()
    (images / "Faces" / "@eaDir").mkdir()
    (images / "README.txt").write_text("no class")
    (images / "Faces" / "notes.txt").write_text("no image")
    assert load_dataset("caltech101", tmp_path).fingerprint == untouched


def test_images_of_other_names_are_listed(tmp_path: Path, images: Path, image) -> None:
    image(images / "zebra" / "image_0033 copy.jpg")
    with pytest.raises(
        UserError,
        match=r"1 image in .*zebra not named as .* \(image_0033 copy\.jpg\); move what is not theirs",
    ):
        load_dataset("caltech101", tmp_path).labels("test")


def test_nothing_is_made_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="caltech101 is not in"):
        load_dataset("caltech101", tmp_path)
    assert not (tmp_path / "caltech101").exists()  # torchvision would make the folder


def test_torchvision_downloads_to_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    """The authors' archive is a zip with an archive of the images in it; torchvision unpacks both."""
    stand_in("caltech101", classes=3, official={"all": 104})
    write_caltech(tmp_path / "inner", image)
    serve(tmp_path / "inner", "101_ObjectCategories.tar.gz")
    (tmp_path / "outer" / "caltech-101").mkdir(parents=True)
    shutil.copy(tmp_path / "served" / "101_ObjectCategories.tar.gz", tmp_path / "outer" / "caltech-101")
    address, digest = serve(tmp_path / "outer", "caltech-101.zip")
    fetch = reader.download_and_extract_archive

    def from_here(url: str, download_root: str, filename: str, md5: str) -> None:
        assert url.startswith("https://data.caltech.edu/") and filename == "caltech-101.zip"
        fetch(address, download_root=download_root, filename=filename, md5=digest)

    monkeypatch.setattr(reader, "download_and_extract_archive", from_here)
    download_dataset("caltech101", tmp_path / "data")
    assert len(load_dataset("caltech101", tmp_path / "data").labels("train")) == 75
