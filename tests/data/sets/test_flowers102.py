"""Flowers-102 in its layout: numbered images, and two .mat files that torchvision compares by MD5."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.io import savemat
from torchvision.datasets import Flowers102

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

PARTS = {"trnid": (7, 2, 5, 1), "valid": (3, 4), "tstid": (6, 8, 9)}
LABELS = (1, 1, 2, 102, 2, 1, 102, 2, 102)  # of images 1 to 9, from 1
SIZES = {"train": 4, "val": 2, "test": 3}


def write_flowers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, image: Callable[..., Path]
) -> dict[str, str]:
    """Write the set below `folder`; return the MD5 sums of the .mat files as a manifest names them."""
    for number in range(1, len(LABELS) + 1):
        image(folder / "jpg" / f"image_{number:05d}.jpg", 20 * number)
    savemat(folder / "setid.mat", {name: [list(numbers)] for name, numbers in PARTS.items()})
    savemat(folder / "imagelabels.mat", {"labels": [list(LABELS)]})
    sums = {}
    for key, name in (("label", "imagelabels.mat"), ("setid", "setid.mat")):
        sums[f"flowers-102/{name}"] = hashlib.md5((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(Flowers102._file_dict, key, (name, sums[f"flowers-102/{name}"]))
    return sums


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in) -> Path:
    sums = write_flowers(tmp_path / "data" / "flowers102" / "flowers-102", monkeypatch, image)
    stand_in("flowers102", classes=102, official=SIZES, images=SIZES, files=sums)
    return tmp_path / "data"


def test_the_authors_splits(root: Path) -> None:
    dataset = load_dataset("flowers102", root)
    assert (dataset.metric, dataset.image_size, dataset.multilabel) == ("mean_per_class", 224, False)
    assert dataset.classes[0] == "pink primrose" and len(dataset.classes) == 102
    train = dataset.files["train"]()  # in the order of classes, then of names
    assert train.paths == [f"jpg/image_{number:05d}.jpg" for number in (1, 2, 5, 7)]
    assert dataset.labels("train").tolist() == [0, 0, 1, 101]
    assert dataset.labels("val").tolist() == [1, 101]
    assert dataset.labels("test").tolist() == [0, 1, 101]
    pixels = dataset.split("test").images
    assert pixels.shape == (3, 3, 280, 280)
    assert [
        abs(int(image[0, 0, 0]) - level) < 3 for image, level in zip(pixels, (120, 160, 180), strict=True)
    ]


def test_another_setid_is_refused_by_its_md5(root: Path) -> None:
    path = root / "flowers102" / "flowers-102" / "setid.mat"
    savemat(path, {name: [list(reversed(numbers))] for name, numbers in PARTS.items()})
    with pytest.raises(UserError, match=r"setid\.mat is damaged, its MD5 sum is not [0-9a-f]{32}"):
        load_dataset("flowers102", root).labels("train")
    path.unlink()
    load_dataset.cache_clear()
    with pytest.raises(
        UserError, match=r"setid\.mat is missing.*prepare flowers102 --data-root .* --download"
    ):
        load_dataset("flowers102", root).labels("train")


def test_a_label_that_names_no_class(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root / "flowers102" / "flowers-102" / "imagelabels.mat"
    savemat(path, {"labels": [[1, 1, 2, 102, 2, 103, 102, 2, 102]]})
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(Flowers102._file_dict, "label", (path.name, md5))
    dataset = load_dataset("flowers102", root)
    assert dataset.labels("train").tolist() == [0, 0, 1, 101]
    with pytest.raises(UserError, match="label 102 in the test split of 'flowers102' is not one of its 102"):
        dataset.labels("test")


def test_torchvision_downloads_to_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    sums = write_flowers(tmp_path / "source", monkeypatch, image)
    stand_in("flowers102", classes=102, official=SIZES, files=sums)
    address, md5 = serve(tmp_path / "source", "102flowers.tgz")  # the .mat files come with it here
    monkeypatch.setitem(Flowers102._file_dict, "image", ("102flowers.tgz", md5))
    monkeypatch.setattr(Flowers102, "_download_url_prefix", address.removesuffix("102flowers.tgz"))
    download_dataset("flowers102", tmp_path / "data")
    assert len(load_dataset("flowers102", tmp_path / "data").labels("test")) == 3
