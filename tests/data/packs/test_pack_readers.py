"""Every reader of classification images takes a packed copy: workers, subsets, joined splits, remarks."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from packable import packed, stored, write_folders

from mmbench.data import Dataset, ImageFiles, load_dataset
from mmbench.data.images.ahead import read_batches
from mmbench.data.images.sides import sides
from mmbench.data.packs import shards
from mmbench.data.quick_check import pixel_remarks, shared_files
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.sources.base import Part
from mmbench.pretrain.sources.device_files import DeviceFileSource
from mmbench.pretrain.sources.files import CroppedImages, FileSource
from mmbench.transfer.inputs.images import FileImages


@pytest.fixture
def pack(tmp_path: Path) -> Dataset:
    return packed(write_folders(tmp_path / "pets"), tmp_path / "pack")


@pytest.fixture
def files(pack: Dataset, tmp_path: Path) -> ImageFiles:
    """The train split of the pack as files of their own."""
    root = tmp_path / "files"
    for name, content in stored(pack).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    part = pack.files["train"]()
    return ImageFiles(root, part.paths, part.labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_crops_of_pretraining_and_evaluation(pack: Dataset, files: ImageFiles, workers: int) -> None:
    part, order = pack.files["train"](), torch.tensor([7, 0, 3, 3, 9])
    config = resolve_config("moco", data="pets", device="cpu", overrides=(f"workers={workers}",))
    for reader in (FileSource, DeviceFileSource):
        sources = [reader("pets", found, 32, config, torch.device("cpu")) for found in (part, files)]
        crops = [torch.cat(list(source.batches([Part(2, order)]))) for source in sources]
        assert crops[0].shape == (2, 5, 3, 32, 32) and torch.equal(*crops)
        assert sources[0].counts() == sources[1].counts()
    centres = [
        torch.cat(list(FileImages(found, 32, workers).centre_crops([order[:2], order[2:]])))
        for found in (part, files)
    ]
    assert torch.equal(*centres)


def test_samples_and_sides(pack: Dataset, files: ImageFiles) -> None:
    config = resolve_config("moco", data="pets", device="cpu")
    device = torch.device("cpu")
    ours, theirs = (FileSource("pets", found, 32, config, device) for found in (pack.files["train"](), files))
    assert torch.equal(ours.samples(4), theirs.samples(4))
    assert ours.sides == theirs.sides
    assert str(sides(pack, "train")) == "32 to 40 px files (short sides; median 32)"
    assert pixel_remarks(pack.files["train"](), "train") == []


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_by_fork_and_from_a_server(pack: Dataset, method: str) -> None:
    """Newer versions of Python start workers from a server, which get the data set pickled."""
    config = resolve_config("moco", data="pets", device="cpu")
    images = CroppedImages(pack.files["train"](), 16, config)
    keys = [[(0, 1), (0, 8)], [(1, 4)]]
    expected = [images.__getitems__(part).pairs for part in keys]
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try:
        found = list(read_batches(images, keys, 2))
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert all(torch.equal(crop.pairs, pair) for crop, pair in zip(found, expected, strict=True))


def test_a_pickled_split_is_small_and_maps_the_files_again(pack: Dataset, tmp_path: Path) -> None:
    part = pack.files["train"]()
    content = pickle.dumps(part)
    assert len(content) < sum(path.stat().st_size for path in pack.root.glob("train-*")) // 2
    again: Any = pickle.loads(content)
    assert [bytes(again.place(index).content) for index in range(len(again))] == list(stored(pack).values())
    assert again.fingerprint == part.fingerprint
    image = pickle.loads(pickle.dumps(part.place(3)))
    assert bytes(image.content) == list(stored(pack).values())[3] and str(image) == str(part.place(3))


def test_no_file_stays_open(pack: Dataset) -> None:
    for split in pack.files:
        pack.files[split]()
    opened = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]  # noqa: PTH115
    assert not [path for path in opened if path.endswith(".arrow")]


def test_images_are_views_of_the_map(pack: Dataset) -> None:
    part = pack.files["train"]()
    views = [part.place(index).content for index in range(2)]  # type: ignore[union-attr]
    assert all(isinstance(view, memoryview) and view.readonly for view in views)
    assert views[0].obj is views[1].obj is part.shards[0].buffer  # type: ignore[attr-defined, union-attr]


def test_subsets_and_joined_splits(pack: Dataset) -> None:
    train, val = pack.files["train"](), pack.files["val"]()
    both = train.joined([val])
    assert list(both.paths) == [*train.paths, *val.paths]
    assert torch.equal(both.labels, torch.cat([train.labels, val.labels]))
    chosen = torch.tensor([11, 2, 13])
    part = both.subset(chosen)
    expected = [*stored(pack).values(), *stored(pack, "val").values()]
    assert [bytes(part.place(index).content) for index in range(3)] == [  # type: ignore[union-attr]
        expected[index] for index in chosen.tolist()
    ]
    assert list(part.contents) == [both.contents[index] for index in chosen.tolist()]
    assert part.fingerprint != both.fingerprint


def test_shared_images_are_found(tmp_path: Path) -> None:
    folders = write_folders(tmp_path / "pets")
    (folders / "test" / "cat" / "9.png").write_bytes((folders / "train" / "dog" / "0.png").read_bytes())
    pack = packed(folders, tmp_path / "pack")
    lines = shared_files({split: pack.files[split]() for split in ("train", "test")})  # type: ignore[dict-item]
    assert len(lines) == 1 and "train and test share 1 file (dog/0.png)" in lines[0]


def test_the_system_is_asked_for_whole_images_and_nothing_else(
    pack: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening asks for no image; an image is asked for from its first page to its last byte."""
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(shards, "_madvise", lambda: lambda *words: asked.append(words) or 0)
    load_dataset.cache_clear()
    part: Any = load_dataset(str(pack.root)).files["train"]()
    start = part.shards[0].buffer.address
    assert asked[0] == (start, part.shards[0].buffer.size, mmap.MADV_RANDOM)
    images = part.spans[:, 1:]
    for address, size, advice in asked[1:]:
        assert advice == mmap.MADV_WILLNEED and address + size - start <= images.min()
    asked.clear()
    part.place(4)
    first, last = images[4].tolist()
    ((address, size, advice),) = asked
    assert advice == mmap.MADV_WILLNEED and address % mmap.PAGESIZE == 0
    assert 0 <= start + first - address < mmap.PAGESIZE and address + size == start + last
