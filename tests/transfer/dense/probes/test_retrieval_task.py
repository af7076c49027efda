"""The retrieval probe from files to numbers, against an independent computation on the pixels of squares."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import labelled_squares as squares
import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from running import make_run, run_task

from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset
from mmbench.data.images.file_crops import generator_of
from mmbench.data.label_maps.types import IGNORED
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.dense.probes.dry_run import dry_run_lines
from mmbench.transfer.dense.probes.memory import Memory, build_memory
from mmbench.transfer.dense.probes.memory_plan import planned
from mmbench.transfer.dense.probes.patches import kept_patches, label_counts
from mmbench.transfer.dense.probes.preparation import prepared
from mmbench.transfer.dense.probes.retrieval_settings import RetrievalSettings
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.job import TransferJob
from mmbench.transfer.protocol import get_protocol

PROTOCOL = "dense/knn-hummingbird@1"
IN_TWO = {"plain": squares.PLAIN, "crops": squares.CROPS}
Array = NDArray[Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Seven training and three evaluated images."""
    return squares.write_squares(tmp_path_factory.mktemp("squares"))


def measured(folder: Path, data: Dataset, overrides: dict[str, Any], **asked: Any) -> Result:
    """Return the record of one run."""
    return run_task(
        "dense",
        squares.pixels(),
        data,
        ResultStore(folder / "results"),
        work=folder / "work",
        protocol_id=PROTOCOL,
        overrides=overrides,
        **asked,
    )


def job_of(data: Dataset, overrides: dict[str, Any], seed: int = 0) -> tuple[TransferJob, RetrievalSettings]:
    """Return a job, and its settings."""
    run = make_run("dense", squares.pixels(), data, protocol_id=PROTOCOL, overrides=overrides, seed=seed)
    assert isinstance(run.task.settings, RetrievalSettings)
    return TransferJob(run, Path()), run.task.settings


def memory_of(data: Dataset, overrides: dict[str, Any], seed: int = 0) -> Memory:
    """Return the memory of a run."""
    job, settings = job_of(data, overrides, seed)
    ready = prepared(job, settings)
    return build_memory(job, ready, settings, planned(job, ready, settings))


def read(root: Path, split: str, number: int) -> tuple[Array, Array]:
    """Return an image, normalised as its card says, and its labels."""
    image = np.asarray(Image.open(root / f"images/{split}/{number}.png"), np.float64) / 255
    card = Preprocessing(image_size=32)
    labels = np.asarray(Image.open(root / f"segmentation/{split}/{number}.png"))
    return (image - np.array(card.mean)) / np.array(card.std), labels


def squares_of(image: Array) -> Array:
    """Return the squares of 8 px of an array (H, W, ...), flattened, of length 1."""
    found = []
    for top in range(0, image.shape[0], squares.STRIDE):
        for left in range(0, image.shape[1], squares.STRIDE):
            found.append(image[top : top + squares.STRIDE, left : left + squares.STRIDE].reshape(-1))
    return np.array(found)


def unit(rows: Array) -> Array:
    found: Array = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def enlarged(scores: Array, height: int, width: int) -> Array:
    """Return scores (h, w, K) at every pixel, bilinear between the centres of positions."""
    rows, columns, _ = scores.shape
    found = np.empty((height, width, scores.shape[2]))
    for y in range(height):
        for x in range(width):
            v = max(0.0, (y + 0.5) * rows / height - 0.5)
            u = max(0.0, (x + 0.5) * columns / width - 0.5)
            top, left = int(v), int(u)
            below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            down, over = v - top, u - left
            upper = scores[top, left] * (1 - over) + scores[top, right] * over
            lower = scores[below, left] * (1 - over) + scores[below, right] * over
            found[y, x] = upper * (1 - down) + lower * down
    return found


def brute_force(root: Path, neighbours: int, temperature: float) -> tuple[float, int]:
    """Return mIoU in percent, and the size of the memory, from loops over images, squares and pixels."""
    features, shares = [], []
    for number in range(squares.COUNTS["train"]):
        image, labels = read(root, "train", number)
        for feature, pixels in zip(unit(squares_of(image)), squares_of(labels), strict=True):
            counted = [int((pixels == label).sum()) for label in range(4)]
            if sum(counted):
                features.append(feature)
                shares.append(np.array(counted) / sum(counted))
    overlap, union = np.zeros(4), np.zeros(4)
    for number in range(squares.COUNTS["val"]):
        image, labels = read(root, "val", number)
        scores = []
        for query in unit(squares_of(image)):
            cosines = np.array([float(query @ feature) for feature in features])
            nearest = np.argsort(-cosines, kind="stable")[:neighbours]
            weights = np.exp(cosines[nearest] / temperature)
            scores.append((weights[:, None] * np.array(shares)[nearest]).sum(axis=0) / weights.sum())
        grid = np.array(scores).reshape(squares.HEIGHT // 8, squares.WIDTH // 8, 4)
        predicted = enlarged(grid, squares.HEIGHT, squares.WIDTH).argmax(axis=-1)
        for label in range(4):
            both = (labels != IGNORED) & (labels == label) & (predicted == label)
            either = (labels != IGNORED) & ((labels == label) | (predicted == label))
            overlap[label] += both.sum()
            union[label] += either.sum()
    return float((overlap / union).mean() * 100), len(features)


@pytest.mark.parametrize(("neighbours", "temperature"), [(1, 0.02), (5, 0.05), (30, 1.0)])
def test_a_run_equals_loops_over_images_squares_and_pixels(
    tmp_path: Path, data: Dataset, neighbours: int, temperature: float
) -> None:
    overrides = squares.PLAIN | {"neighbours": neighbours, "temperature": temperature}
    found = measured(tmp_path, data, overrides)
    expected, patches = brute_force(data.root, neighbours, temperature)
    assert 10 < expected < 100
    assert found.metrics["mIoU"].value == pytest.approx(expected, abs=1e-6)
    assert found.metrics["mIoU"].n == squares.COUNTS["val"]
    assert any(f"the memory holds {patches} patches" == note for note in found.notes)
    (figure,) = (tmp_path / "results").rglob("*.predictions.png")
    assert Image.open(figure).width > 100


def test_the_bank_changes_nothing(tmp_path: Path, data: Dataset) -> None:
    plain = measured(tmp_path / "plain", data, squares.PLAIN)
    bank = FeatureBank(tmp_path / "features")
    for _ in range(2):
        kept = measured(tmp_path / "bank", data, squares.PLAIN, bank=bank)
        assert kept.metrics["mIoU"].value == plain.metrics["mIoU"].value


def test_every_image_gives_its_share_of_the_memory(data: Dataset) -> None:
    """Seven images for 30 patches: four each; the first has labels in three of its 20 squares only."""
    memory = memory_of(data, squares.PLAIN | {"memory_size": 30}, seed=3)
    features: list[Array] = []
    counts: list[list[int]] = []
    for number in range(squares.COUNTS["train"]):
        image, labels = read(data.root, "train", number)
        own = label_counts(torch.from_numpy(labels.copy()), (4, 5), 4)
        kept = kept_patches(own, 4, generator_of(3, number))
        features += list(unit(squares_of(image))[kept])
        counts += own[kept].tolist()
        assert len(kept) == (3 if number == 0 else 4)
    assert memory.counts.tolist() == counts
    # The network orders the pixels of a square by channel.
    expected = np.array(features).reshape(-1, 64, 3).transpose(0, 2, 1).reshape(-1, 192)
    assert np.allclose(memory.features.numpy(), expected, atol=1e-6)
    assert memory.notes[0] == "the memory holds 27 patches"
    assert "1 of 7 images gave fewer than 4 patches" in memory.notes
    assert any("without a labelled pixel" in note for note in memory.notes)


def test_crops_follow_the_seed_alone(data: Dataset) -> None:
    first, again, other = (memory_of(data, squares.CROPS, seed) for seed in (1, 1, 2))
    assert torch.equal(first.features, again.features) and torch.equal(first.counts, again.counts)
    assert not torch.equal(first.features, other.features)
    assert len(first.features) <= 7 * 2 * 4 and (first.counts.sum(dim=1) > 0).all()
    lengths = torch.linalg.vector_norm(first.features, dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths))
    halves = first.features[: len(first.features) // 2], first.features[len(first.features) // 2 :]
    assert not torch.equal(halves[0][:10], halves[1][:10])  # the second epoch draws anew


def test_float16_halves_the_memory(data: Dataset) -> None:
    exact, half = (memory_of(data, squares.PLAIN | {"memory_type": kind}) for kind in ("float32", "float16"))
    assert half.features.dtype == torch.float16
    assert torch.equal(half.features, exact.features.half()) and torch.equal(half.counts, exact.counts)


def measure_in_two(rank: int, folder: str, data: Dataset) -> None:
    """Build a memory and measure with it, as one of two processes; leave what was found."""
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    found = {}
    for name, overrides in IN_TWO.items():
        memory = memory_of(data, overrides)
        mean = measured(Path(folder) / "two", data, overrides).metrics["mIoU"]
        found[name] = (memory.features, memory.counts, memory.notes, mean.value)
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_build_the_same_memory_and_predictions(tmp_path: Path, data: Dataset) -> None:
    # Forked, for importing everything once more takes long.
    torch.multiprocessing.start_processes(
        measure_in_two, (str(tmp_path), data), nprocs=2, start_method="fork"
    )
    for name, overrides in IN_TWO.items():
        memory = memory_of(data, overrides)
        mean = measured(tmp_path / "one", data, overrides).metrics["mIoU"]
        for rank in (0, 1):
            features, counts, notes, value = torch.load(tmp_path / f"{rank}.pt")[name]
            assert torch.equal(features, memory.features) and torch.equal(counts, memory.counts)
            assert notes == memory.notes and value == mean.value


def test_a_dry_run_says_how_large_the_memory_will_be(data: Dataset) -> None:
    lines = dry_run_lines(*job_of(data, squares.CROPS | {"memory_type": "float16"}))
    size, row = 7 * 2 * 4, 192 * 2 + 4 * 4
    assert (
        f"memory: at most {size} patches, 4 of up to 16 of each of 7 training images, each drawn 2 times; "
        f"192 numbers each as float16, {size * row / 2**30:.2f} GiB with labels, in main memory"
    ) in lines
    lines = dry_run_lines(*job_of(data, squares.PLAIN | {"memory_size": 1000}))
    assert "memory_size asks for 142 patches of an image, more than it has: all are kept" in lines
    lines = dry_run_lines(*job_of(data, squares.CROPS | {"crop": 37, "test_size": 37, "scored_size": 37}))
    assert "training crops have 32 instead of 37 px: a multiple of the patch" in lines
    job, settings = job_of(data, squares.CROPS | {"test_size": 37, "scored_size": 37})
    assert prepared(job, settings).test.scored_size == 32  # scored at the size that is fed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"memory_size": 6}, "neighbours|no room"),
        ({"memory_size": 6, "neighbours": 5}, "has no room for one of each of 7 images"),
        ({"neighbours": 500}, "only 140 labelled patches for the memory, fewer than neighbours=500"),
        ({"neighbours": 130}, "labelled patches for the memory, fewer than neighbours=130"),
        ({"train_images": 1, "neighbours": 40}, "only 20 labelled patches"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 0}, "temperature"),
        ({"neighbours": 0}, "neighbours"),
        ({"memory_size": 3}, "a memory of 3 patches has no 5 neighbours"),
        ({"epochs": 2}, "augmentation=none gives the same patches in every epoch"),
        ({"augmentation": "resized-crop", "crop": None}, "set crop"),
        ({"jitter": 0.9}, "jitter"),
        ({"test_mode": "slide", "test_size": 32, "test_stride": 16}, "augmentation=none stores maps"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, data: Dataset, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        measured(tmp_path, data, squares.PLAIN | overrides)
    assert "\n" not in str(error.value)


def test_a_memory_that_does_not_fit_is_refused_before_anything_is_computed(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100_000))
    job, settings = job_of(data, squares.PLAIN)
    with pytest.raises(UserError, match="a memory of 140 patches with 192 numbers each takes"):
        dry_run_lines(job, settings)


def test_the_protocol_is_the_published_one() -> None:
    protocol = get_protocol(PROTOCOL)
    assert protocol.split == "val" and protocol.metric == "mIoU"
    assert protocol.settings == {
        "probe": "retrieval",
        "output_stride": 16,
        "test_mode": "squash",
        "test_size": 512,
        "scored_size": 512,
        "memory_size": 10_240_000,
        "memory_type": "float16",
        "neighbours": 30,
        "temperature": 0.02,
        "augmentation": "resized-crop",
        "epochs": 2,
        "crop": 512,
        "crop_scale": [0.5, 2.0],
        "jitter": 0.1,
    }
    for defect in ("0.255", "without a label", "Hungarian"):
        assert defect in protocol.differs
