"""Images of a split: from memory and from files; what evaluation and training see of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as transforms

from mmbench.data import Dataset, load_dataset
from mmbench.distributed import own_share
from mmbench.errors import UserError
from mmbench.transfer.inputs import batches as views
from mmbench.transfer.inputs import images as pictures
from mmbench.transfer.inputs.augment import augment
from mmbench.transfer.inputs.batches import FileViews, MemoryViews, Plan, open_views
from mmbench.transfer.inputs.images import FileImages, MemoryImages, open_images

CPU = torch.device("cpu")


def smooth(index: int, width: int, height: int) -> Image.Image:
    """Low waves, which resizing hardly changes."""
    across, down = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    waves = [np.sin(3 * across + index + shift) + np.cos(4 * down - shift) for shift in (0, 1, 2)]
    return Image.fromarray(np.clip(127 + 60 * np.stack(waves, axis=2), 0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of many sizes and modes: RGB, grey, CMYK, paletted, 16-bit grey."""
    modes: list[Callable[[Image.Image], tuple[Image.Image, str]]] = [
        lambda image: (image, "png"),
        lambda image: (image.convert("L"), "png"),
        lambda image: (image.convert("CMYK"), "jpg"),
        lambda image: (image.convert("P"), "png"),
        lambda image: (Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257), "png"),
        lambda image: (image, "jpg"),
    ]
    for split, count in (("train", 12), ("val", 6), ("test", 7)):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                image, ending = modes[index % len(modes)](smooth(index, 60 + 9 * index, 50 + 4 * index))
                image.save(tmp_path / split / name / f"{index:02}.{ending}")
    return tmp_path


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return load_dataset(str(folder))


@pytest.fixture
def from_files(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> FileImages:
    monkeypatch.setattr(pictures, "LARGEST_IN_MEMORY", 8)
    found = open_images(dataset, "train", 32, workers=0)
    assert isinstance(found, FileImages)
    return found


def test_where_pictures_come_from(dataset: Dataset, gratings: Dataset) -> None:
    assert isinstance(open_images(dataset, "train", 64, 0), MemoryImages)
    assert isinstance(open_images(dataset, "train", 65, 0), FileImages)
    assert isinstance(open_images(gratings, "train", 224, 0), MemoryImages)  # there are no files


def test_files_are_decoded_for_the_size_that_is_fed(dataset: Dataset) -> None:
    for size, stored in ((16, 20), (32, 40), (48, 60)):
        found = open_images(dataset, "val", size, 0)
        assert isinstance(found, MemoryImages) and found.images.shape == (12, 3, stored, stored)
    again, first = (open_images(dataset, "val", 16, 0) for _ in range(2))
    assert isinstance(again, MemoryImages) and isinstance(first, MemoryImages)
    assert again.images is first.images  # decoded once


def test_evaluation_sees_the_middle_of_resized_pictures(from_files: FileImages) -> None:
    """As torchvision: the short side to 256/224 of the size, the middle cut out."""
    order = torch.tensor([3, 0, 23, 5, 17])
    (found,) = from_files.middles([order])
    assert found.shape == (5, 3, 32, 32) and found.dtype == torch.uint8
    for image, index in zip(found, order.tolist(), strict=True):
        picture = Image.open(from_files.path(index))
        if picture.mode.startswith("I"):
            picture = Image.fromarray((np.asarray(picture) // 256).astype(np.uint8))
        whole = transforms.pil_to_tensor(picture.convert("RGB"))
        expected = transforms.center_crop(transforms.resize(whole, [37], antialias=True), [32, 32])
        tolerance = 8 if picture.mode == "P" else 5  # half a pixel of shift; in dithered colours it shows
        assert (image.float() - expected.float()).abs().mean() < tolerance, index


def test_workers_change_nothing(from_files: FileImages) -> None:
    batches = torch.arange(24).split(5)
    alone = list(from_files.middles(batches))
    for count in (1, 2):
        helped = FileImages(from_files.files, 32, count)
        assert all(torch.equal(a, b) for a, b in zip(alone, helped.middles(batches), strict=True))
    plan = Plan(24, 5, 2, whole_batches=False)
    one, two = (
        FileViews(FileImages(from_files.files, 32, workers), plan, (0.2, 1.0), CPU, seed=3)
        for workers in (0, 2)
    )
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first.views, second.views) and torch.equal(first.indices, second.indices)


def test_an_unreadable_picture_is_told_not_skipped(from_files: FileImages) -> None:
    path = from_files.path(4)
    path.write_bytes(path.read_bytes()[:300])  # truncated
    for workers in (0, 1):
        damaged = FileImages(from_files.files, 32, workers)
        with pytest.raises(UserError, match=rf"{path.name} cannot be read as a picture"):
            list(damaged.middles(torch.arange(24).split(5)))
        with pytest.raises(UserError, match=rf"{path.name} cannot be read as a picture"):
            list(FileViews(damaged, Plan(24, 5, 1, False), (0.2, 1.0), CPU, 0))


def test_every_epoch_shows_every_picture_once_in_another_order(from_files: FileImages) -> None:
    plan = Plan(24, 7, 3, whole_batches=False)
    found = FileViews(from_files, plan, (0.2, 1.0), CPU, seed=1)
    batches = list(found)
    assert [len(batch.indices) for batch in batches] == [7, 7, 7, 3] * 3 and found.step == 12
    orders = [torch.cat([batch.indices for batch in batches[4 * e : 4 * e + 4]]) for e in range(3)]
    assert all(sorted(order.tolist()) == list(range(24)) for order in orders)
    assert orders[0].tolist() != orders[1].tolist()
    for batch in batches:
        assert torch.equal(batch.labels, from_files.labels[batch.indices])
    first, second = (
        {
            index: view
            for batch in part
            for index, view in zip(batch.indices.tolist(), batch.views, strict=True)
        }
        for part in (batches[:4], batches[4:8])
    )
    assert sum(torch.equal(first[index], second[index]) for index in range(24)) == 0  # new crops


def test_half_of_the_crops_are_mirrored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.repeat(np.arange(120, dtype=np.uint8)[None, :, None], 120, axis=0).repeat(3, axis=2)
    for path in (folder / "train").rglob("*.*"):
        path.unlink()
    for name in ("a", "b"):
        for index in range(40):
            Image.fromarray(ramp).save(folder / "train" / name / f"{index:02}.png")
    load_dataset.cache_clear()
    monkeypatch.setattr(pictures, "LARGEST_IN_MEMORY", 8)
    found = open_images(load_dataset(str(folder)), "train", 32, 0)
    assert isinstance(found, FileImages)
    (batch,) = FileViews(found, Plan(80, 80, 1, False), (0.2, 1.0), CPU, seed=0)
    rising = (batch.views[:, 0, :, -1].float() - batch.views[:, 0, :, 0].float()).mean(dim=1) > 0
    assert 25 <= int(rising.sum()) <= 55


def test_only_whole_batches_where_batch_norm_needs_them() -> None:
    assert (Plan(24, 7, 2, True).steps, Plan(24, 7, 2, False).steps) == (6, 8)
    assert Plan(5, 7, 2, True).per_epoch == 1 and len(Plan(5, 7, 2, True).rows(torch.arange(5), 1)) == 5


def test_memory_goes_on_where_its_state_was_taken(gratings: Dataset) -> None:
    def fresh(seed: int) -> MemoryViews:
        found = MemoryImages(gratings.split("train"), 16)
        plan = Plan(120, 50, 2, whole_batches=False)
        opened = open_views(found, plan, (0.2, 1.0), CPU, Generator().manual_seed(seed), seed)
        assert isinstance(opened, MemoryViews)
        return opened

    whole, first, second = list(fresh(7)), fresh(7), fresh(8)
    parts = []
    for batch in first:
        parts.append(batch)
        if first.step == 4:
            second.restore(first.state())
            break
    parts += list(second)
    for a, b in zip(whole, parts, strict=True):
        assert torch.equal(a.views, b.views) and torch.equal(a.indices, b.indices)


@pytest.mark.parametrize("processes", [2, 3, 4])
@pytest.mark.parametrize("batch", [1, 5, 6, 8])
def test_shares_of_a_batch_are_its_rows(
    gratings: Dataset, monkeypatch: pytest.MonkeyPatch, processes: int, batch: int
) -> None:
    """Processes draw the same crops and cut each its own; together they are the batch of one process."""
    images = gratings.split("train").images[:batch]

    def rows(rank: int) -> Tensor:
        monkeypatch.setattr("mmbench.distributed.process_count", lambda: processes)
        monkeypatch.setattr("mmbench.distributed.process_rank", lambda: rank)
        return augment(images, 16, (0.2, 1.0), Generator().manual_seed(5), CPU, own_share(batch))

    whole = augment(images, 16, (0.2, 1.0), Generator().manual_seed(5), CPU)
    assert torch.equal(torch.cat([rows(rank) for rank in range(processes)]), whole)
    assert views.own_share is own_share
