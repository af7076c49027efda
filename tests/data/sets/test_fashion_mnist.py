"""Fashion-MNIST in its format: small IDX files written byte by byte here, in each folder that is searched."""

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import FashionMNIST

from mmbench.data import download_dataset, load_dataset
from mmbench.data.manifest import require_manifest
from mmbench.data.sets import fashion_mnist_places
from mmbench.data.sets.fashion_mnist import read_idx
from mmbench.errors import UserError

PER_CLASS = {"train": 10, "t10k": 2}
SIZES = {"train": 90, "val": 10, "test": 20}
LAYOUTS = ["fashion-mnist/FashionMNIST/raw", "fashion-mnist/raw", "fashion-mnist", "FashionMNIST/raw"]


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def contents() -> tuple[dict[str, np.ndarray], dict[str, bytes]]:
    """Return noise with shuffled labels, and the four files that hold it."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in PER_CLASS.items():
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (10 * count, 28, 28), dtype=np.uint8)
        labels = np.repeat(np.arange(10, dtype=np.uint8), count)
        arrays[f"{part}-labels-idx1-ubyte"] = rng.permutation(labels)
    return arrays, {name: idx(values) for name, values in arrays.items()}


@pytest.fixture
def files(stand_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """The small files' content, with a manifest that states them; Debian's folder is an empty one."""
    found = contents()[1]
    sums = {name: hashlib.md5(content).hexdigest() for name, content in found.items()}
    official = {"train": 100, "test": 20}
    stand_in("fashion-mnist", classes=10, official=official, images=SIZES, files=sums)
    monkeypatch.setattr(fashion_mnist_places, "DEBIAN", tmp_path / "debian")
    return found


def write(folder: Path, files: dict[str, bytes], packed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.gz" if packed else folder / name).write_bytes(
            gzip.compress(content) if packed else content
        )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", [*LAYOUTS, "debian"])
def test_every_folder_and_packing(tmp_path: Path, files: dict[str, bytes], layout: str, packed: bool) -> None:
    write(tmp_path / layout, files, packed)
    dataset = load_dataset("fashion-mnist", tmp_path)
    assert (dataset.root, dataset.image_size, dataset.metric) == (tmp_path / layout, 28, "top1")
    assert dataset.classes[:2] == ("T-shirt/top", "Trouser") and dataset.remarks == ()
    train, val, test = (dataset.split(name) for name in ("train", "val", "test"))
    arrays = contents()[0]
    generator = np.random.default_rng(0)
    for label in range(10):
        members = np.flatnonzero(arrays["train-labels-idx1-ubyte"] == label)  # in the order of the file
        first = generator.permutation(np.arange(10))[0]
        images = arrays["train-images-idx3-ubyte"]
        for channel in range(3):
            assert np.array_equal(val.images[label, channel].numpy(), images[members[first]])
            kept = train.images[train.labels == label, channel].numpy()
            assert np.array_equal(kept, images[np.delete(members, first)])
    order = np.argsort(arrays["t10k-labels-idx1-ubyte"], kind="stable")
    assert np.array_equal(test.images[:, 0].numpy(), arrays["t10k-images-idx3-ubyte"][order])
    assert test.images.dtype == torch.uint8 and test.labels.tolist() == [i for i in range(10) for _ in "ab"]
    assert [len(part) for part in (train, val, test)] == list(SIZES.values())


def test_a_folder_with_some_files_is_passed_over_and_said(tmp_path: Path, files: dict[str, bytes]) -> None:
    write(tmp_path / "debian", files, packed=True)
    images = {name: content for name, content in files.items() if "images" in name}
    write(tmp_path / "fashion-mnist", images)
    dataset = load_dataset("fashion-mnist", tmp_path)
    assert dataset.root == tmp_path / "debian"
    (line,) = dataset.remarks
    assert f"{tmp_path / 'fashion-mnist'} has no train-labels-idx1-ubyte, t10k-labels-idx1-ubyte" in line
    (tmp_path / "debian" / "train-labels-idx1-ubyte.gz").unlink()
    load_dataset.cache_clear()
    with pytest.raises(UserError, match=r"is not in .*has no train-labels.*apt-get install dataset-fashion"):
        load_dataset("fashion-mnist", tmp_path)


def test_nowhere(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(
        UserError, match=r"fashion-mnist is not in .*prepare fashion-mnist .* --download"
    ) as e:
        load_dataset("fashion-mnist", tmp_path)
    assert "\n" not in str(e.value)


def wrong_files(good: bytes) -> dict[str, tuple[bytes, str]]:
    """Return damaged packed files of labels, and what is said of each."""
    packed = gzip.compress(good)
    other = gzip.compress(good[:-1] + bytes([good[-1] ^ 1]))
    return {
        "empty": (b"", "damaged or another file"),
        "page": (b"<html>not found</html>", "cannot be read"),
        "short": (packed[: len(packed) // 2], "cannot be read"),
        "flipped": (packed[:-9] + bytes([packed[-9] ^ 255]) + packed[-8:], "cannot be read"),
        "other": (other, "damaged or another file"),
    }


@pytest.mark.parametrize("kind", ["empty", "page", "short", "flipped", "other"])
def test_a_damaged_file_is_named(tmp_path: Path, files: dict[str, bytes], kind: str) -> None:
    write(tmp_path / "fashion-mnist", files, packed=True)
    path = tmp_path / "fashion-mnist" / "train-labels-idx1-ubyte.gz"
    content, words = wrong_files(files["train-labels-idx1-ubyte"])[kind]
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_dataset("fashion-mnist", tmp_path).split("train")
    message = str(caught.value)
    assert message.startswith(f"{path} ") and words in message and "\n" not in message
    assert "remove it and run: mmbench data prepare fashion-mnist --download" in message


def test_files_in_each_others_place(tmp_path: Path, files: dict[str, bytes]) -> None:
    swapped = dict(zip(files, [*list(files.values())[1:], next(iter(files.values()))], strict=True))
    write(tmp_path / "fashion-mnist", swapped)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte is damaged or another file: the MD5 sum"):
        load_dataset("fashion-mnist", tmp_path).split("val")


def test_what_is_not_idx(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    for content, words in (
        (b"\0\0\x08", "is not an IDX file of bytes with 1 axes"),
        (idx(np.zeros((2, 2), np.uint8)), "is not an IDX file of bytes with 1 axes"),
        (b"\0\0\x0d\x01" + struct.pack(">I", 1) + b"\0", "is not an IDX file of bytes with 1 axes"),
        (idx(np.zeros(5, np.uint8))[:-1], "holds 4 values where its header says 5"),
        (idx(np.zeros(5, np.uint8)) + b"\0", "holds 6 values where its header says 5"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            read_idx(path, 1)


def test_torchvision_downloads_to_where_it_is_read(
    tmp_path: Path,
    files: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[..., tuple[str, str]],
) -> None:
    write(tmp_path / "served", files, packed=True)  # the folder that `serve` serves
    write(tmp_path / "any", {"any": b""})
    address, _ = serve(tmp_path / "any", "any.zip")
    resources = [
        (path.name, hashlib.md5(path.read_bytes()).hexdigest())
        for path in sorted((tmp_path / "served").glob("*.gz"))
    ]
    monkeypatch.setattr(FashionMNIST, "mirrors", [f"{address.rpartition('/')[0]}/"])
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    download_dataset("fashion-mnist", tmp_path / "data")
    dataset = load_dataset("fashion-mnist", tmp_path / "data")
    assert dataset.root == tmp_path / "data" / "fashion-mnist" / "FashionMNIST" / "raw"
    assert len(dataset.split("train")) == 90


def test_each_file_has_its_archive() -> None:
    known = require_manifest("fashion-mnist")
    assert {f"{name}.gz" for name in known.files} == set(known.archives)
    assert len(FashionMNIST.classes) == known.classes
