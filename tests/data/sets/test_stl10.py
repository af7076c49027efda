"""STL-10 in its layout: raw bytes, column by column, and labels from 1."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import STL10

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

THINGS = ("airplane", "bird", "car")
OFFICIAL = {"train": 30, "test": 6}
SIZES = {"train": 27, "val": 3, "test": 6}


def write_stl10(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Write noise below `folder`; return images (N, 3, H, W) and labels from 0, and the MD5 sums."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays, sums = {}, {}
    for part, count in OFFICIAL.items():
        images = rng.integers(0, 256, (count, 3, 96, 96), dtype=np.uint8)
        labels = rng.permutation(np.repeat(np.arange(3, dtype=np.uint8), count // 3))
        images.transpose(0, 1, 3, 2).tofile(folder / f"{part}_X.bin")
        (labels + 1).tofile(folder / f"{part}_y.bin")
        arrays |= {f"{part}_X": images, f"{part}_y": labels}
    (folder / "class_names.txt").write_text("\n".join(THINGS) + "\n")
    for path in folder.glob("*.bin"):
        sums[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    train = [[name, sums[name]] for name in ("train_X.bin", "train_y.bin")]
    monkeypatch.setattr(STL10, "train_list", [*train, ["unlabeled_X.bin", "0" * 32]])
    monkeypatch.setattr(STL10, "test_list", [[name, sums[name]] for name in ("test_X.bin", "test_y.bin")])
    return arrays, {f"stl10_binary/{name}": md5 for name, md5 in sums.items()}


def test_labelled_images_without_the_unlabelled_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in
) -> None:
    arrays, sums = write_stl10(tmp_path / "stl10" / "stl10_binary", monkeypatch)
    stand_in("stl10", classes=3, official=OFFICIAL, images=SIZES, files=sums)
    dataset = load_dataset("stl10", tmp_path)
    assert (dataset.classes, dataset.image_size, dataset.metric) == (THINGS, 96, "top1")
    train, val, test = (dataset.split(name) for name in ("train", "val", "test"))
    assert [part.labels.bincount().tolist() for part in (train, val, test)] == [[9] * 3, [1] * 3, [2] * 3]
    generator = np.random.default_rng(0)
    for label in range(3):
        members = np.flatnonzero(arrays["train_y"] == label)  # in the order of the file
        first = generator.permutation(np.arange(10))[0]
        assert np.array_equal(val.images[label].numpy(), arrays["train_X"][members[first]])
        rest = np.delete(members, first)
        assert np.array_equal(train.images[train.labels == label].numpy(), arrays["train_X"][rest])
    order = np.argsort(arrays["test_y"], kind="stable")
    assert np.array_equal(test.images.numpy(), arrays["test_X"][order])
    assert test.images.dtype == torch.uint8 and test.images.shape == (6, 3, 96, 96)
    assert dataset.labels("test").tolist() == [0, 0, 1, 1, 2, 2]


def test_a_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in) -> None:
    folder = tmp_path / "stl10" / "stl10_binary"
    _, sums = write_stl10(folder, monkeypatch)
    stand_in("stl10", classes=3, official=OFFICIAL, files=sums)
    with pytest.raises(UserError, match="has no unlabelled split"):
        load_dataset("stl10", tmp_path).split("unlabelled")  # type: ignore[arg-type]
    content = (folder / "test_X.bin").read_bytes()
    (folder / "test_X.bin").write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"stl10_binary/test_X\.bin is damaged.*prepare stl10"):
        load_dataset("stl10", tmp_path).split("train")
    (folder / "test_X.bin").unlink()
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"stl10_binary/test_X\.bin is missing"):
        load_dataset("stl10", tmp_path).split("train")


def test_no_folder_and_too_few_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"stl10 is not in .*stl10_binary.*prepare stl10 .* --download"):
        load_dataset("stl10", tmp_path)
    write_stl10(tmp_path / "stl10" / "stl10_binary", monkeypatch)
    with pytest.raises(UserError, match=r"stl10 in .* has 3 classes where its manifest says 10"):
        load_dataset("stl10", tmp_path)


def test_torchvision_downloads_to_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in, serve
) -> None:
    _, sums = write_stl10(tmp_path / "source" / "stl10_binary", monkeypatch)
    stand_in("stl10", classes=3, official=OFFICIAL, files=sums)
    address, md5 = serve(tmp_path / "source", "stl10_binary.tar.gz")
    monkeypatch.setattr(STL10, "url", address)
    monkeypatch.setattr(STL10, "tgz_md5", md5)
    download_dataset("stl10", tmp_path / "data")
    assert len(load_dataset("stl10", tmp_path / "data").split("train")) == 27
