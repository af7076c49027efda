"""Random crops for a memory: torchvision's draws, image and label map cut alike, colours changed a little."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from mmbench.data import Dataset, Scenes
from mmbench.transfer.dense.common.sampling import drawn
from mmbench.transfer.dense.probes.memory_images import ASPECT, FedImages, MemoryCrops
from mmbench.transfer.dense.probes.retrieval_settings import RetrievalSettings
from mmbench.transfer.dense.probes.scenes import Geometry, LabelledScenes, TestScenes

HEIGHT, WIDTH, SIZE = 45, 60, 32


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> LabelledScenes:
    """One image: its red is 4 x the column, its green 5 x the row; the label of a pixel is its column."""
    root = tmp_path_factory.mktemp("ramp")
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([columns * 4, rows * 5, np.full((HEIGHT, WIDTH), 90)], axis=-1).astype(np.uint8)
    names = tuple(f"column {column}" for column in range(1, WIDTH))
    for split in ("train", "test"):
        for folder in ("images", "segmentation"):
            (root / folder / split).mkdir(parents=True)
        Image.fromarray(pixels).save(root / f"images/{split}/0.png")
        Image.fromarray(columns.astype(np.uint8)).save(root / f"segmentation/{split}/0.png")
    data = Dataset("ramp", root, names, scenes=Scenes(root, names)).require_label_maps()
    assert data.label_maps is not None
    return LabelledScenes(data.split("train"), data.label_maps.coding)


def crops_of(scenes: LabelledScenes, **changes: Any) -> MemoryCrops:
    settings = RetrievalSettings(probe="retrieval", augmentation="resized-crop", crop=SIZE, **changes)
    return MemoryCrops(scenes, settings, SIZE)


@pytest.mark.parametrize("number", range(8))
def test_a_crop_is_torchvisions_and_its_label_map_is_cut_alike(scenes: LabelledScenes, number: int) -> None:
    with drawn(5, number):
        item = crops_of(scenes)(0)
    with drawn(5, number):
        seed = random.getrandbits(63)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        image = torch.zeros(3, HEIGHT, WIDTH)
        top, left, height, width = RandomResizedCrop.get_params(image, [0.5, 2.0], list(ASPECT))
    columns = left + (np.arange(SIZE) + 0.5) * width / SIZE  # centres of the crop's pixels, in the image
    rows = top + (np.arange(SIZE) + 0.5) * height / SIZE
    assert item["image"].shape == (3, SIZE, SIZE) and item["labels"].shape == (SIZE, SIZE)
    assert (item["labels"].numpy() == np.floor(columns)[None]).all()
    inner = slice(2, -2)  # at the border the filter of the resize is one-sided
    assert np.abs(item["image"][0].numpy() - 4 * (columns - 0.5)[None])[:, inner].max() <= 1
    assert np.abs(item["image"][1].numpy() - 5 * (rows - 0.5)[:, None])[inner].max() <= 1
    assert (item["image"][2] == 90).all()


def test_the_same_draw_gives_the_same_crop_and_leaves_torchs_state_alone(scenes: LabelledScenes) -> None:
    crops, found = crops_of(scenes, jitter=0.1), []
    state = torch.get_rng_state()
    for number in (3, 3, 4):
        with drawn(0, number):
            found.append(crops(0)["image"])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_colours_change_in_most_draws_and_only_a_little(scenes: LabelledScenes) -> None:
    """Each of four changes happens half of the time, so 15 of 16 draws differ; labels never do."""
    plain, jittered = crops_of(scenes, crop_scale=(1, 1)), crops_of(scenes, crop_scale=(1, 1), jitter=0.1)
    changed = 0
    for number in range(64):
        with drawn(1, number):
            first = plain(0)
        with drawn(1, number):
            second = jittered(0)
        apart = (first["image"].float().mean((1, 2)) - second["image"].float().mean((1, 2))).abs().max()
        changed += bool(apart > 0)
        assert apart < 60
    assert 50 <= changed <= 64


def test_images_without_augmentation_are_fed_as_evaluated_ones(scenes: LabelledScenes) -> None:
    fed = TestScenes(scenes, Geometry("squash", 40), scored_size=10)
    item = FedImages(fed, with_images=True)(0)
    assert torch.equal(item["image"], fed.image(0)) and item["labels"].shape == (40, 40)
    columns = np.floor((np.arange(40) + 0.5) * WIDTH / 40)
    assert (item["labels"].numpy() == columns[None]).all()
    assert "image" not in FedImages(fed, with_images=False)(0)
