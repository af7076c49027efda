"""Images and label maps as a dense probe is fed and scored."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.transfer.compute import Compute
from mmbench.transfer.dense.common.sampling import drawn
from mmbench.transfer.dense.probes.crops import TrainingCrops, jittered
from mmbench.transfer.dense.probes.evaluation import scores_in_windows
from mmbench.transfer.dense.probes.linear_settings import LinearProbeSettings
from mmbench.transfer.dense.probes.network import DenseNetwork
from mmbench.transfer.dense.probes.scenes import Geometry, LabelledScenes, TestScenes, windows
from mmbench.transfer.resolution import resolve_task


def labelled(data: Dataset, split: str = "train") -> LabelledScenes:
    found = data.require_label_maps()
    assert found.label_maps is not None
    return LabelledScenes(found.split(split), found.label_maps.coding)  # type: ignore[arg-type]


@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 64))
def test_windows_cover_every_pixel(extra: int, size: int, stride: int) -> None:
    length, stride = size + extra - 1, min(stride, size)
    starts = windows(length, size, stride)
    covered = {pixel for start in starts for pixel in range(start, start + size)}
    assert covered == set(range(length))
    # mmsegmentation's number of windows: max(length - size + stride - 1, 0) // stride + 1
    assert len(starts) == max(length - size + stride - 1, 0) // stride + 1


def test_fed_sizes() -> None:
    assert Geometry("squash", 48).fed(100, 30) == (48, 48)
    assert Geometry("slide", 64, 32).fed(100, 50) == (128, 64)
    assert Geometry("slide", 64, 32).fed(50, 100) == (64, 128)
    assert Geometry("whole").fed(37, 41) == (37, 41)
    assert Geometry("whole", multiple=14).fed(37, 5) == (42, 14)


def test_scores_of_windows_are_averaged_where_they_overlap(small: Backbone) -> None:
    network = DenseNetwork(small, Compute(torch.device("cpu")))
    weights = torch.randn(3, 128, generator=torch.Generator().manual_seed(0))

    def classify(maps: Tensor) -> Tensor:
        return torch.einsum("kc,nchw->nkhw", weights, maps)

    image = torch.randint(256, (3, 32, 52), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found = scores_in_windows(network, classify, image, Geometry("slide", 32, 16))
    total, count = torch.zeros(3, 32, 52), torch.zeros(32, 52)
    for left in (0, 16, 20):
        scores = classify(network.maps(image[None, :, :, left : left + 32]))
        total[:, :, left : left + 32] += torch.nn.functional.interpolate(
            scores, (32, 32), mode="bilinear", align_corners=False
        )[0]
        count[:, left : left + 32] += 1
    assert torch.allclose(found, total / count, atol=1e-4)


def test_whole_images_and_their_labels_are_those_of_the_files(scenes: Dataset) -> None:
    reader = TestScenes(labelled(scenes), Geometry("whole"))
    item = reader(3)
    image = np.asarray(Image.open(scenes.root / "images/train/003.png"))
    labels = np.asarray(Image.open(scenes.root / "segmentation/train/003.png"))
    assert np.array_equal(item["image"].permute(1, 2, 0).numpy(), image)
    assert np.array_equal(item["labels"].numpy(), labels) and 255 in labels
    assert reader.equal_sizes() == (32, 32) and reader.scenes.name(3) == "images/train/003.png"


def test_what_changes_pixels_changes_the_fingerprint(scenes: Dataset, uneven: Dataset) -> None:
    readers = [
        TestScenes(labelled(scenes), Geometry("whole")),
        TestScenes(labelled(scenes), Geometry("squash", 32)),
        TestScenes(labelled(scenes), Geometry("squash", 48)),
        TestScenes(labelled(scenes, "test"), Geometry("whole")),
        TestScenes(labelled(uneven), Geometry("whole")),
    ]
    assert len({reader.fingerprint() for reader in readers}) == 5
    assert readers[-1].equal_sizes() is None


def crops_of(data: Dataset, protocol: str, **changes: object) -> TrainingCrops:
    chosen = resolve_task("dense", protocol, changes).settings
    assert isinstance(chosen, LinearProbeSettings) and chosen.crop is not None
    return TrainingCrops(labelled(data), chosen, chosen.crop, (1, 2, 3))


@pytest.mark.parametrize(
    ("protocol", "changes"),
    [
        ("dense/own@1", {"crop": 24}),
        ("dense/linear-dinov3@1", {"crop": 24, "colour_jitter": False}),
    ],
)
def test_a_crop_keeps_image_and_labels_together(
    scenes: Dataset, protocol: str, changes: dict[str, object]
) -> None:
    """Objects are saturated and background is grey, so colours tell where the labels should be."""
    crops = crops_of(scenes, protocol, **changes)
    seen = 0
    for number in range(20):
        with drawn(0, number):
            item = crops(number % 12)
        assert item["image"].shape == (3, 24, 24) and item["labels"].shape == (24, 24)
        pixels = item["image"].float()
        chroma = pixels.max(0).values - pixels.min(0).values
        inside = item["labels"].ne(0) & item["labels"].ne(255)
        outside = item["labels"] == 0
        if inside.any() and outside.any():
            seen += 1
            assert chroma[inside].mean() > 120 > 60 > chroma[outside].mean()
    assert seen > 10


def test_a_draw_is_the_same_at_every_reading_and_padding_is_ignored(scenes: Dataset) -> None:
    crops = crops_of(scenes, "dense/linear-dinov3@1", crop=40, scale_range=[0.5, 0.5])
    with drawn(3, 8):
        first = crops(0)
    with drawn(3, 8):
        again = crops(0)
    assert torch.equal(first["image"], again["image"]) and torch.equal(first["labels"], again["labels"])
    ignored = first["labels"] == 255
    padded = (first["image"] == torch.tensor([1, 2, 3]).view(3, 1, 1)).all(0)
    assert int(padded.sum()) == 40 * 40 - 20 * 20 and bool(ignored[padded].all())


def test_jitter_keeps_the_size_and_changes_colours() -> None:
    random.seed(0)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8))
    found = [np.asarray(jittered(image)) for _ in range(8)]
    assert all(pixels.shape == (9, 7, 3) for pixels in found)
    assert len({pixels.tobytes() for pixels in found}) > 4


def test_scored_labels_of_squashed_images_are_squashed_first(scenes: Dataset, tmp_path: Path) -> None:
    found = TestScenes(labelled(scenes), Geometry("squash", 24), 10)(0)["labels"].numpy()
    labels = np.asarray(
        Image.open(scenes.root / "segmentation/train/000.png").resize((24, 24), Image.Resampling.NEAREST)
    )
    rows = [row * 24 // 10 for row in range(10)]
    assert np.array_equal(found, labels[np.ix_(rows, rows)])
