"""Batches for a detector: which images, how they are read, and what they do not depend on."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data.common import AspectRatioGroupedDataset
from detectron2.data.samplers import TrainingSampler
from detectron2.structures import BoxMode
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbench.errors import UserError
from mmbench.transfer.dense.common.reading import TestLoader, TrainingLoader
from mmbench.transfer.dense.common.sampling import BatchStream, Draw, drawn, share
from mmbench.transfer.dense.detection.mapper import ImageMapper, reader
from mmbench.transfer.dense.detection.run import evaluation_loader


def first(stream: BatchStream, count: int, start: int = 0) -> list[list[Draw]]:
    return list(itertools.islice(stream.batches(start), count))


@settings(deadline=None, max_examples=30)
@given(
    wide=st.lists(st.booleans(), min_size=1, max_size=12),
    batch=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    start=st.integers(0, 20),
)
def test_stream_draws_what_detectron2_draws_and_can_begin_anywhere(wide, batch, seed, start) -> None:
    stream = BatchStream(wide, batch, seed)
    found = first(stream, start + 3)
    sides = [{"width": 2, "height": 1, "of": i} if w else {"width": 1, "height": 2, "of": i}
             for i, w in enumerate(wide)]  # fmt: skip
    shuffled = (sides[index] for index in TrainingSampler(len(wide), seed=seed))
    grouped = itertools.islice(AspectRatioGroupedDataset(shuffled, batch), start + 3)
    assert [[draw.image for draw in part] for part in found] == [[d["of"] for d in part] for part in grouped]
    numbers = [draw.number for part in found for draw in part]
    assert len(set(numbers)) == len(numbers), "every draw has its own number"
    assert first(stream, 3, start) == found[start:]


def test_processes_share_each_batch_in_order() -> None:
    batch = [Draw(index, index) for index in range(6)]
    assert [draw for rank in range(3) for draw in share(batch, rank, 3)] == batch
    with pytest.raises(UserError, match=r"a batch of 6 images cannot be shared evenly by 4 processes"):
        share(batch, 0, 4)


def test_augmentation_is_seeded_by_the_draw_and_leaves_other_random_states_alone() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    found = []
    for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1)):
        with drawn(seed, number):
            found.append((np.random.uniform(), random.random()))
    assert found[0] == found[1]
    assert len({found[0], found[2], found[3]}) == 3
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    assert after[:2] == before[:2] and torch.equal(after[2], before[2])


@pytest.fixture
def dicts(tmp_path: Path) -> list[dict]:
    """Five images of two shapes, each with one object on its own place."""
    found = []
    rng = np.random.default_rng(0)
    for number in range(5):
        width, height = (40, 30) if number % 2 else (24, 36)
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
        box = {"bbox": [number, 2, number + 9, 12], "bbox_mode": BoxMode.XYXY_ABS, "category_id": number % 3}
        found.append(
            {
                "file_name": str(path),
                "image_id": number + 1,
                "width": width,
                "height": height,
                "apply_exif": True,
                "annotations": [{**box, "iscrowd": 0}],
            }
        )
    return found


def mapper(train: bool = True) -> ImageMapper:
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.FORMAT = (32, 48), 32, "RGB"
    return ImageMapper(cfg, train)


def whole_size() -> ImageMapper:
    """A mapper that does not resize images whose shorter side is 24 px."""
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.FORMAT = 24, "RGB"
    return ImageMapper(cfg, False)


def loader(dicts, workers: int = 0, start: int = 0) -> TrainingLoader:
    wide = [item["width"] > item["height"] for item in dicts]
    made = TrainingLoader(reader(dicts, mapper()), BatchStream(wide, 2, 7), workers=workers)
    made.position = start
    return made


def same(first: list[list[dict]], second: list[list[dict]]) -> bool:
    pairs = [pair for parts in zip(first, second, strict=True) for pair in zip(*parts, strict=True)]
    return all(
        torch.equal(one["image"], other["image"])
        and one["image_id"] == other["image_id"]
        and torch.equal(one["instances"].gt_boxes.tensor, other["instances"].gt_boxes.tensor)
        for one, other in pairs
    )


def test_workers_restarts_and_other_draws_change_nothing(dicts) -> None:
    whole = list(itertools.islice(loader(dicts), 6))
    assert len({item["image"].shape for part in whole for item in part}) > 2, "sizes are drawn"
    state = torch.get_rng_state()
    by_workers = list(itertools.islice(loader(dicts, workers=2), 6))
    assert torch.equal(torch.get_rng_state(), state), "starting workers draws nothing from the training"
    assert same(whole, by_workers)
    np.random.seed(9)
    rest = loader(dicts, start=4)
    assert same(whole[4:], list(itertools.islice(rest, 2)))
    assert rest.position == 6 and rest.waited > 0


def test_evaluated_images_come_in_order_and_a_missing_one_is_one_line(dicts, tmp_path) -> None:
    loaded = TestLoader(reader(dicts, mapper(train=False)), len(dicts), batch_size=2, workers=1)
    batches = list(loaded)
    assert [[item["image_id"] for item in batch] for batch in batches] == [[1, 2], [3, 4], [5]]
    assert len(loaded) == 3 and "annotations" not in batches[0][0]
    (tmp_path / "3.png").unlink()
    for workers in (0, 1):
        with pytest.raises(UserError, match=r"3\.png cannot be read as an image") as caught:
            list(TestLoader(reader(dicts, mapper(train=False)), len(dicts), workers=workers))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_pixels_are_those_of_the_frame_that_the_boxes_refer_to(tmp_path, tag: int, ending: str) -> None:
    stored = np.zeros((24, 40, 3), np.uint8)
    stored[:8, :8] = (250, 20, 20)  # the first corner
    stored[:, 32:] = (20, 20, 250)
    path = tmp_path / f"image.{ending}"
    exif = Image.Exif()
    exif[0x0112] = tag
    Image.fromarray(stored).save(path, exif=exif, **({"quality": 100} if ending == "jpg" else {}))
    item = {"file_name": str(path), "image_id": 1, "width": 40, "height": 24, "apply_exif": False}
    as_stored = whole_size()(dict(item))["image"].permute(1, 2, 0).numpy().astype(int)
    assert as_stored.shape == stored.shape
    assert abs(as_stored - stored).mean() < 3
    width, height = (24, 40) if tag >= 5 else (40, 24)
    item |= {"apply_exif": True, "width": width, "height": height}
    assert whole_size()(item)["image"].shape == (3, height, width)


def test_any_pixel_format_is_read_and_bgr_is_reversed(tmp_path) -> None:
    rgb = np.zeros((32, 32, 3), np.uint8) + np.array([204, 102, 51], np.uint8)
    image = Image.fromarray(rgb)
    paths = {}
    for mode in ("L", "LA", "RGBA", "P", "CMYK"):
        paths[mode] = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        image.convert(mode).save(paths[mode])
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
    paths["16"] = tmp_path / "16.png"
    Image.fromarray(deep).save(paths["16"])
    grey = np.asarray(image.convert("L"))
    for mode, path in paths.items():
        item = {"file_name": str(path), "image_id": 1, "width": 32, "height": 32, "apply_exif": True}
        found = mapper(train=False)(item)["image"]
        expected = np.stack([grey] * 3, -1) if mode in ("L", "LA", "16") else rgb
        assert found.shape == (3, 32, 32) and found.dtype == torch.uint8, mode
        assert np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 6, mode
    plain = tmp_path / "plain.png"
    image.save(plain)
    item = {"file_name": str(plain), "image_id": 1, "width": 32, "height": 32}
    reversed_channels = mapper(train=False)
    reversed_channels.image_format = "BGR"
    assert reversed_channels(item)["image"][:, 0, 0].tolist() == [51, 102, 204]


def test_evaluated_images_share_a_batch_only_at_one_fed_size(dicts) -> None:
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.FORMAT = 32, 45, "RGB"
    cfg.DATALOADER.NUM_WORKERS, cfg.MODEL.DEVICE = 0, "cpu"
    batches = list(evaluation_loader(cfg, dicts))
    assert [[item["image_id"] for item in batch] for batch in batches] == [[1, 3, 5], [2, 4]]
    shapes = [{tuple(item["image"].shape[1:]) for item in batch} for batch in batches]
    assert shapes == [{(45, 30)}, {(32, 43)}]  # 36 x 24 px: the longer side is at most 45 px
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 300, 400
    assert [len(batch) for batch in evaluation_loader(cfg, dicts)] == [1] * 5
