"""Images and label maps on their way to a segmentor."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.data.annotated.types import AnnotatedImage, AnnotatedSplit
from mmbench.data.label_maps.types import IGNORED, Coding
from mmbench.errors import UserError
from mmbench.transfer.dense.common.reading import TrainingLoader
from mmbench.transfer.dense.common.sampling import BatchStream

CODING = Coding("values", {0: 0, 1: 1, 2: 2, IGNORED: IGNORED})
PACK = {"type": "PackSegInputs"}


def write_split(root: Path, sizes: list[tuple[int, int]], ending: str = "png") -> AnnotatedSplit:
    """Write images of (width, height) and label maps of random pixels."""
    rng = np.random.default_rng(0)
    images = []
    for number, (width, height) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.{ending}")
        labels = rng.choice(np.array([0, 1, 2, IGNORED], np.uint8), (height, width))
        Image.fromarray(labels).save(root / f"map{number}.png")
        name = f"{number}.{ending}"
        images.append(AnnotatedImage(name, str(number), width, height, label_map=f"map{number}.png"))
    return AnnotatedSplit(root, tuple(images), ())


def reader(split: AnnotatedSplit, *transforms: dict, train: bool):
    from mmbench.transfer.dense.segmentation.images import SceneReader

    return SceneReader(split, CODING, [{"type": "LoadScene"}, *transforms, PACK], train=train)


def test_pixels_arrive_as_bgr_and_labels_as_they_are(tmp_path) -> None:
    split = write_split(tmp_path, [(20, 12), (9, 14)])
    read = reader(split, train=True)
    for number in range(2):
        item = read(number)
        by_opencv = cv2.imread(str(tmp_path / f"{number}.png")).transpose(2, 0, 1)
        assert item["inputs"].dtype == torch.uint8 and np.array_equal(item["inputs"].numpy(), by_opencv)
        truth = np.asarray(Image.open(tmp_path / f"map{number}.png"))
        assert np.array_equal(item["data_samples"].gt_sem_seg.data[0].numpy(), truth)
        assert item["data_samples"].ori_shape == truth.shape


def test_labels_keep_their_size_at_evaluation(tmp_path) -> None:
    split = write_split(tmp_path, [(20, 12)])
    resize = {"type": "Resize", "scale": (40, 40), "keep_ratio": True}
    item = reader(split, resize, train=False)(0)
    assert item["inputs"].shape == (3, 24, 40)
    assert "gt_sem_seg" not in item["data_samples"] and item["data_samples"].ori_shape == (12, 20)
    assert np.array_equal(item["labels"].numpy(), np.asarray(Image.open(tmp_path / "map0.png")))
    assert item["name"] == "0.png"


@pytest.mark.parametrize("turned", [True, False])
def test_the_annotated_frame_decides_whether_an_image_is_turned(tmp_path, turned: bool) -> None:
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :12] = (250, 20, 10)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    shape = (24, 16) if turned else (16, 24)
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "map.png")
    image = AnnotatedImage("a.png", "a", *shape[::-1], apply_exif=turned, label_map="map.png")
    item = reader(AnnotatedSplit(tmp_path, (image,), ()), train=True)(0)
    expected = np.rot90(stored, -1) if turned else stored
    assert np.array_equal(item["inputs"].numpy(), expected[:, :, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "16"])
def test_any_pixel_format_is_read(tmp_path, mode: str) -> None:
    image = Image.new("RGB", (8, 6), (204, 102, 51))
    grey = np.asarray(image.convert("L"))
    if mode == "16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "0.tif")
    else:
        image.convert(mode).save(tmp_path / "0.tif")
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "map0.png")
    split = AnnotatedSplit(tmp_path, (AnnotatedImage("0.tif", "0", 8, 6, label_map="map0.png"),), ())
    found = reader(split, train=True)(0)["inputs"][:, 0, 0].tolist()
    expected = [int(grey[0, 0])] * 3 if mode in ("L", "LA", "16") else [51, 102, 204]
    assert np.abs(np.subtract(found, expected)).max() <= 6


def test_sizes_that_differ_are_refused_in_one_line(tmp_path) -> None:
    split = write_split(tmp_path, [(20, 12)])
    Image.fromarray(np.zeros((6, 10), np.uint8)).save(tmp_path / "map0.png")
    for train in (True, False):
        with pytest.raises(UserError, match=r"map0\.png is 10 x 6 px and its image 20 x 12 px") as caught:
            reader(split, train=train)(0)
        assert "\n" not in str(caught.value)


def test_batches_are_a_function_of_seed_and_position(tmp_path) -> None:
    """mmsegmentation's augmentations draw by the draw's number: workers and restarts change nothing."""
    split = write_split(tmp_path, [(40, 30), (24, 36), (33, 31)])
    read = reader(
        split,
        {"type": "RandomResize", "scale": (60, 40), "ratio_range": (0.5, 2.0), "keep_ratio": True},
        {"type": "RandomCrop", "crop_size": (24, 24), "cat_max_ratio": 0.75},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "PhotoMetricDistortion"},
        train=True,
    )

    def batches(workers: int, start: int, seed: int = 7) -> list[list[dict]]:
        loader = TrainingLoader(read, BatchStream((False,) * 3, 2, seed), workers=workers)
        loader.position = start
        found = iter(loader)
        try:
            return list(itertools.islice(found, 6 - start))
        finally:
            found.close()

    def pixels(items: list[dict]) -> list[tuple[bytes, bytes]]:
        return [
            (item["inputs"].numpy().tobytes(), item["data_samples"].gt_sem_seg.data.numpy().tobytes())
            for item in items
        ]

    whole = [pixels(batch) for batch in batches(0, 0)]
    assert [pixels(batch) for batch in batches(2, 0)] == whole
    np.random.rand(5), torch.rand(5)
    assert [pixels(batch) for batch in batches(0, 4)] == whole[4:]
    assert [pixels(batch) for batch in batches(0, 0, seed=8)] != whole
    assert len({image for batch in whole for image, _ in batch}) == 12, "each draw is augmented anew"
