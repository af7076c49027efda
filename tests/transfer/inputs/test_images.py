"""Images of a split: from memory and from files; what evaluation and training see of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as transforms

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import Dataset, load_dataset
from mmbench.data.images.decoding import read_image
from mmbench.distributed import own_share
from mmbench.errors import UserError
from mmbench.images.crop_rule import CropRule
from mmbench.images.preprocessing import centre_crop
from mmbench.transfer.compute import Compute
from mmbench.transfer.inputs import batches as batch_inputs
from mmbench.transfer.inputs import features
from mmbench.transfer.inputs import images as image_inputs
from mmbench.transfer.inputs.augment import augment
from mmbench.transfer.inputs.batches import Batching, FileBatches, MemoryBatches, training_batches
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.features import PooledFeatures
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
    monkeypatch.setattr(image_inputs, "LARGEST_IN_MEMORY", 8)
    found = open_images(dataset, "train", 32, workers=0)
    assert isinstance(found, FileImages)
    return found


def test_where_images_come_from(dataset: Dataset, gratings: Dataset) -> None:
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


def test_evaluation_sees_the_middle_of_resized_images(from_files: FileImages) -> None:
    """As torchvision: the short side to 256/224 of the size, the middle cut out."""
    order = torch.tensor([3, 0, 23, 5, 17])
    (found,) = from_files.centre_crops([order])
    assert found.shape == (5, 3, 32, 32) and found.dtype == torch.uint8
    for crop, index in zip(found, order.tolist(), strict=True):
        image = Image.open(from_files.files.root / from_files.files.paths[index])
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
        whole = transforms.pil_to_tensor(image.convert("RGB"))
        expected = transforms.center_crop(transforms.resize(whole, [37], antialias=True), [32, 32])
        tolerance = 8 if image.mode == "P" else 5  # half a pixel of shift; in dithered colours it shows
        assert (crop.float() - expected.float()).abs().mean() < tolerance, index


@pytest.mark.parametrize(("size", "resized"), [(32, 37), (32, 32), (32, 28), (8, 8), (64, 70)])
def test_evaluation_is_pillows_to_the_rounding(from_files: FileImages, size: int, resized: int) -> None:
    images = FileImages(from_files.files, size, 0, resized)
    (found,) = images.centre_crops([torch.arange(24)])
    different = []
    for index, crop in enumerate(found):
        square = torch.from_numpy(read_image(images.files.place(index), resized).copy()).permute(2, 0, 1)
        expected = centre_crop(square[None], size)[0]
        different.append((crop.int() - expected.int()).abs())
    # An image that is enlarged to the fed size is resized twice.
    assert int(torch.stack(different).max()) <= (1 if resized >= size else 2)
    assert torch.stack(different).float().mean() < 0.05


def test_features_of_files_have_an_address_of_their_own(
    from_files: FileImages, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored features of the resize before are not read; those of images in memory are."""
    for images, differs in ((from_files, True), (MemoryImages(dataset.split("train"), 16), False)):
        source = PooledFeatures(random_backbone("mixmask_resnet8", 0), images, Compute(CPU))
        now = FeatureBank().address_of(source)
        monkeypatch.setattr(features, "RESIZE", 1)
        assert (FeatureBank().address_of(source) != now) == differs
        monkeypatch.undo()


def test_workers_change_nothing(from_files: FileImages) -> None:
    batches = torch.arange(24).split(5)
    alone = list(from_files.centre_crops(batches))
    for count in (1, 2):
        helped = FileImages(from_files.files, 32, count)
        assert all(torch.equal(a, b) for a, b in zip(alone, helped.centre_crops(batches), strict=True))
    batching = Batching(24, 5, 2, whole_batches=False)
    one, two = (
        FileBatches(FileImages(from_files.files, 32, workers), batching, CropRule((0.2, 1.0)), CPU, seed=3)
        for workers in (0, 2)
    )
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first.inputs, second.inputs) and torch.equal(first.indices, second.indices)


def test_an_unreadable_image_is_told_not_skipped(from_files: FileImages) -> None:
    path = from_files.files.root / from_files.files.paths[4]
    path.write_bytes(path.read_bytes()[:300])  # truncated
    for workers in (0, 1):
        damaged = FileImages(from_files.files, 32, workers)
        with pytest.raises(UserError, match=rf"{path.name} cannot be read as an? (picture|image)"):
            list(damaged.centre_crops(torch.arange(24).split(5)))
        with pytest.raises(UserError, match=rf"{path.name} cannot be read as an? (picture|image)"):
            list(FileBatches(damaged, Batching(24, 5, 1, False), CropRule((0.2, 1.0)), CPU, 0))


def test_every_epoch_shows_every_image_once_in_another_order(from_files: FileImages) -> None:
    batching = Batching(24, 7, 3, whole_batches=False)
    found = FileBatches(from_files, batching, CropRule((0.2, 1.0)), CPU, seed=1)
    batches = list(found)
    assert [len(batch.indices) for batch in batches] == [7, 7, 7, 3] * 3 and found.step == 12
    orders = [torch.cat([batch.indices for batch in batches[4 * e : 4 * e + 4]]) for e in range(3)]
    assert all(sorted(order.tolist()) == list(range(24)) for order in orders)
    assert orders[0].tolist() != orders[1].tolist()
    for batch in batches:
        assert torch.equal(batch.labels, from_files.labels[batch.indices])
    first, second = (
        {
            index: crop
            for batch in part
            for index, crop in zip(batch.indices.tolist(), batch.inputs, strict=True)
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
    monkeypatch.setattr(image_inputs, "LARGEST_IN_MEMORY", 8)
    found = open_images(load_dataset(str(folder)), "train", 32, 0)
    assert isinstance(found, FileImages)
    (batch,) = FileBatches(found, Batching(80, 80, 1, False), CropRule((0.2, 1.0)), CPU, seed=0)
    rising = (batch.inputs[:, 0, :, -1].float() - batch.inputs[:, 0, :, 0].float()).mean(dim=1) > 0
    assert 25 <= int(rising.sum()) <= 55


def test_only_whole_batches_where_batch_norm_needs_them() -> None:
    assert (Batching(24, 7, 2, True).steps, Batching(24, 7, 2, False).steps) == (6, 8)
    assert (
        Batching(5, 7, 2, True).per_epoch == 1 and len(Batching(5, 7, 2, True).rows(torch.arange(5), 1)) == 5
    )


def test_memory_goes_on_where_its_state_was_taken(gratings: Dataset) -> None:
    def fresh(seed: int) -> MemoryBatches:
        found = MemoryImages(gratings.split("train"), 16)
        batching = Batching(120, 50, 2, whole_batches=False)
        opened = training_batches(
            found, batching, CropRule((0.2, 1.0)), CPU, Generator().manual_seed(seed), seed
        )
        assert isinstance(opened, MemoryBatches)
        return opened

    whole, first, second = list(fresh(7)), fresh(7), fresh(8)
    parts = []
    for batch in first:
        parts.append(batch)
        if first.step == 4:
            second.load_state_dict(first.state_dict())
            break
    parts += list(second)
    for a, b in zip(whole, parts, strict=True):
        assert torch.equal(a.inputs, b.inputs) and torch.equal(a.indices, b.indices)


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
        return augment(images, 16, CropRule((0.2, 1.0)), Generator().manual_seed(5), CPU, own_share(batch))

    whole = augment(images, 16, CropRule((0.2, 1.0)), Generator().manual_seed(5), CPU)
    assert torch.equal(torch.cat([rows(rank) for rank in range(processes)]), whole)
    assert batch_inputs.own_share is own_share
