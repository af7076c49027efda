"""CIFAR as torchvision reads it. The archives are written here, with torchvision's own checksums replaced."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

PER_CLASS = 20


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Write a CIFAR-10 archive of noise in the authors' layout; return the raw arrays per file."""
    rng = np.random.default_rng(0)
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    arrays, sums = {}, {}
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        data = rng.integers(0, 256, (10 * PER_CLASS, 3072), dtype=np.uint8)
        labels = rng.permutation(np.repeat(np.arange(10), PER_CLASS)).tolist()
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": labels}))
        arrays[name] = data
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    meta = pickle.dumps({"label_names": [f"thing {index}" for index in range(10)]})
    (folder / "batches.meta").write_bytes(meta)
    reader = torchvision.datasets.CIFAR10
    monkeypatch.setattr(
        reader, "train_list", [[name, sums[name]] for name in ("data_batch_1", "data_batch_2")]
    )
    monkeypatch.setattr(reader, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": hashlib.md5(meta).hexdigest()})
    return arrays


def test_a_part_of_cifar10_is_refused(tmp_path, monkeypatch):
    write_cifar10(tmp_path / "cifar10", monkeypatch)
    dataset = load_dataset("cifar10", tmp_path)
    with pytest.raises(UserError, match="has 360 train images where its manifest says 45000"):
        dataset.split("train")


def test_splits_of_cifar10(tmp_path, monkeypatch, stand_in):
    stand_in("cifar10", classes=10, official={}, images={"train": 360, "val": 40, "test": 200})
    arrays = write_cifar10(tmp_path / "cifar10", monkeypatch)
    dataset = load_dataset("cifar10", tmp_path)
    assert dataset.classes[3] == "thing 3"
    assert dataset.image_size == 32
    train, val, test = (dataset.split(name) for name in ("train", "val", "test"))
    assert train.labels.bincount().tolist() == [36] * 10  # 40 of each class, 10% held out
    assert val.labels.bincount().tolist() == [4] * 10
    assert test.images.shape == (200, 3, 32, 32)
    assert np.array_equal(test.images.numpy().reshape(200, -1), arrays["test_batch"])  # planes R, G, B
    whole = {row.tobytes() for name in ("data_batch_1", "data_batch_2") for row in arrays[name]}
    parts = [{image.numpy().tobytes() for image in split.images} for split in (train, val)]
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_files_name_the_command_that_gets_them(tmp_path, name):
    with pytest.raises(UserError, match=f"{name} is not in .*mmbench data prepare {name} .* --download"):
        load_dataset(name, tmp_path)


def test_a_corrupted_batch_is_refused(tmp_path, monkeypatch):
    write_cifar10(tmp_path / "cifar10", monkeypatch)
    batch = tmp_path / "cifar10" / "cifar-10-batches-py" / "data_batch_2"
    batch.write_bytes(batch.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="corrupted"):
        load_dataset("cifar10", tmp_path)


def test_download_goes_through_torchvision(tmp_path, monkeypatch):
    asked = []

    def fetch(self, root, train=True, download=False):
        asked.append((type(self).__name__, root, download))
        if type(self).__name__ == "CIFAR100":
            raise RuntimeError("no network")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "__init__", fetch)
    download_dataset("cifar10", tmp_path)
    assert asked == [("CIFAR10", str(tmp_path / "cifar10"), True)]
    with pytest.raises(UserError, match=r"download of 'cifar100' failed \(no network\)"):
        download_dataset("cifar100", tmp_path)
