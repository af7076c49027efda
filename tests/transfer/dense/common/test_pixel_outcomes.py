"""Pixel counts and their metrics against a confusion matrix by loops, mmsegmentation, and their own file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmbench.errors import UserError
from mmbench.records.image_outcomes import read_outcomes, write_outcomes
from mmbench.transfer.dense.common import pixel_outcomes
from mmbench.transfer.dense.common.pixel_outcomes import COUNTED, PixelOutcomes, metrics_of

CLASSES = ("background", "cat", "dog", "bus")
Maps = dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def drawn_maps(images: int, seed: int = 0, classes: int = 4) -> Maps:
    """Predictions that are right in half of the pixels, and truths with a tenth of ignored pixels."""
    rng = np.random.default_rng(seed)
    found: Maps = {}
    for number in range(images):
        size = (int(rng.integers(3, 9)), int(rng.integers(3, 9)))
        truth = rng.integers(classes, size=size).astype(np.uint8)
        guessed = np.where(rng.random(size) < 0.5, truth, rng.integers(classes, size=size)).astype(np.uint8)
        truth[rng.random(size) < 0.1] = 255
        found[f"{number:03d}"] = (guessed, truth)
    return found


def outcomes_of(maps: Maps, classes: tuple[str, ...] = CLASSES) -> PixelOutcomes:
    outcomes = PixelOutcomes(classes)
    for name, (guessed, truth) in maps.items():
        outcomes.add(name, torch.from_numpy(guessed), torch.from_numpy(truth))
    return outcomes


def looped(maps: Maps, classes: int) -> tuple[dict[str, float], dict[int, float]]:
    """The metrics and the IoU per class, pixel by pixel."""
    confusion = [[0] * classes for _ in range(classes)]
    for guessed, truth in maps.values():
        for guess, true in zip(guessed.ravel().tolist(), truth.ravel().tolist(), strict=True):
            if true != 255:
                confusion[true][guess] += 1
    iou, accuracy = {}, []
    for index in range(classes):
        labelled, found = sum(confusion[index]), sum(row[index] for row in confusion)
        if labelled + found:
            iou[index] = 100 * confusion[index][index] / (labelled + found - confusion[index][index])
        if labelled:
            accuracy.append(100 * confusion[index][index] / labelled)
    right, everything = sum(confusion[index][index] for index in range(classes)), sum(map(sum, confusion))
    metrics = {
        "mIoU": sum(iou.values()) / len(iou),
        "mAcc": sum(accuracy) / len(accuracy),
        "aAcc": 100 * right / everything,
    }
    return metrics, iou


def values(outcomes: PixelOutcomes) -> dict[str, float]:
    return {name: metric.value for name, metric in outcomes.scores(0).metrics.items()}


def test_metrics_equal_a_confusion_matrix_by_loops() -> None:
    maps = drawn_maps(7)
    metrics, iou = looped(maps, 4)
    scores = outcomes_of(maps).scores(0)
    assert {name: metric.value for name, metric in scores.metrics.items()} == pytest.approx(
        metrics, rel=1e-12
    )
    assert scores.per_class == pytest.approx({CLASSES[index]: value for index, value in iou.items()})
    assert {metric.n for metric in scores.metrics.values()} == {7}
    assert {metric.unit for metric in scores.metrics.values()} == {"percent"}


def test_metrics_equal_those_of_mmsegmentation() -> None:
    from mmengine.structures import PixelData
    from mmseg.evaluation.metrics import IoUMetric
    from mmseg.structures import SegDataSample

    maps = drawn_maps(9, seed=1)
    metric = IoUMetric(ignore_index=255)
    metric.dataset_meta = {"classes": CLASSES}
    for guessed, truth in maps.values():
        sample = SegDataSample()
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(guessed.astype(np.int64))[None])
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth.astype(np.int64))[None])
        metric.process({}, [sample.to_dict()])
    theirs = metric.evaluate(len(maps))  # rounded to two decimals
    assert values(outcomes_of(maps)) == pytest.approx({name: theirs[name] for name in theirs}, abs=0.00501)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(4)))
def test_other_labels_of_the_classes_permute_their_scores(seed: int, order: list[int]) -> None:
    maps = drawn_maps(3, seed)
    table = np.array([*order, *range(4, 255), 255], dtype=np.uint8)
    renamed = {name: (table[guessed], table[truth]) for name, (guessed, truth) in maps.items()}
    classes = tuple(CLASSES[order.index(index)] for index in range(4))
    first, other = outcomes_of(maps).scores(0), outcomes_of(renamed, classes).scores(0)
    assert first.per_class == other.per_class
    for name, metric in first.metrics.items():
        assert metric.value == pytest.approx(other.metrics[name].value, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_predictions_in_ignored_pixels_never_matter(seed: int) -> None:
    maps = drawn_maps(3, seed)
    rng = np.random.default_rng(seed)
    other = {
        name: (np.where(truth == 255, rng.integers(4, size=truth.shape), guessed).astype(np.uint8), truth)
        for name, (guessed, truth) in maps.items()
    }
    assert outcomes_of(maps).scores(0) == outcomes_of(other).scores(0)


def test_the_order_of_images_never_matters(tmp_path: Path) -> None:
    maps = drawn_maps(25)
    first, other = outcomes_of(maps), outcomes_of(dict(reversed(maps.items())))
    assert first.scores(3) == other.scores(3)
    stated = [write_outcomes(tmp_path / name, part.table()) for name, part in (("a", first), ("b", other))]
    assert stated[0] == stated[1]
    assert (tmp_path / "a.images.parquet").read_bytes() == (tmp_path / "b.images.parquet").read_bytes()


def test_the_file_gives_the_metrics_again(tmp_path: Path) -> None:
    maps = drawn_maps(6)
    maps["nothing"] = (np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8))
    outcomes = outcomes_of(maps, (*CLASSES, "in no image"))
    table = read_outcomes(tmp_path / "x", write_outcomes(tmp_path / "x", outcomes.table()))
    assert list(table) == ["image", "class", "intersection", "union", "labelled", "predicted"]
    assert list(table["class"].cat.categories) == [*CLASSES, "in no image"]
    assert set(table["image"]) == set(maps)
    assert (table.dtypes[2:] == "int64").all()
    sums = table.groupby("class", observed=False)[["intersection", "union", "labelled"]].sum()
    seen, true = sums[sums["union"] > 0], sums[sums["labelled"] > 0]
    by_table = {
        "mIoU": 100 * (seen["intersection"] / seen["union"]).mean(),
        "mAcc": 100 * (true["intersection"] / true["labelled"]).mean(),
        "aAcc": 100 * sums["intersection"].sum() / sums["labelled"].sum(),
    }
    assert values(outcomes) == pytest.approx(by_table, rel=1e-14)
    counts = table.groupby("class", observed=False)[list(COUNTED)].sum().to_numpy().T
    assert list(values(outcomes).values()) == metrics_of(counts).tolist(), "the same integers"
    guessed, truth = maps["002"]
    row = table[(table["image"] == "002") & (table["class"] == "dog")].iloc[0]
    counted = truth != 255
    assert row["predicted"] == ((guessed == 2) & counted).sum()
    assert row["union"] == (((guessed == 2) | (truth == 2)) & counted).sum()


def test_counts_are_exact_beyond_the_integers_of_float32() -> None:
    outcomes = PixelOutcomes(("a", "b"))
    truth = torch.zeros((4097, 4096), dtype=torch.uint8)
    guessed = truth.clone()
    guessed[0, 0] = 1
    outcomes.add("big", guessed, truth)
    pixels = 4097 * 4096
    assert pixels > 2**24
    assert values(outcomes)["aAcc"] == pytest.approx(100 * (pixels - 1) / pixels, rel=1e-15)
    assert values(outcomes)["aAcc"] < 100


def test_classes_that_are_absent_are_left_out_and_said() -> None:
    truth = torch.tensor([[0, 0, 1, 255]])
    outcomes = PixelOutcomes(CLASSES)
    outcomes.add("a", torch.tensor([[0, 2, 1, 3]]), truth)
    scores = outcomes.scores(0)
    assert scores.metrics["mIoU"].value == pytest.approx(100 * (1 / 2 + 1 + 0) / 3)
    assert scores.metrics["mAcc"].value == pytest.approx(100 * (1 / 2 + 1) / 2)
    assert set(scores.per_class) == {"background", "cat", "dog"}, "bus is nowhere"
    (note,) = [note for note in scores.notes if note.startswith("not in")]
    assert "dog, bus;" in note
    many = PixelOutcomes([f"class {number}" for number in range(150)])
    many.add("a", truth * 0, truth * 0)
    (note,) = [note for note in many.scores(0).notes if note.startswith("not in")]
    assert "class 10 and 139 more;" in note


def test_nothing_labelled_is_an_error_of_the_user() -> None:
    outcomes = PixelOutcomes(CLASSES)
    outcomes.add("a", torch.zeros((2, 2), dtype=torch.uint8), torch.full((2, 2), 255))
    with pytest.raises(UserError, match="every pixel of the evaluated label maps is ignored") as caught:
        outcomes.scores(0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("guessed", "truth", "message"),
    [
        ([[0, 1]], [[0], [1]], "prediction"),
        ([0, 1], [0, 1], "labels"),
        ([[0, 4]], [[0, 1]], "no class"),
        ([[0, 0]], [[0, 4]], "no class"),
        ([[0, -1]], [[0, 1]], "no class"),
        ([[0, 1]], [[0, 256]], "no class"),
    ],
)
def test_what_cannot_be_counted_is_refused(guessed: list[int], truth: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PixelOutcomes(CLASSES).add("a", torch.tensor(guessed), torch.tensor(truth))


def test_an_image_is_counted_once() -> None:
    outcomes = PixelOutcomes(CLASSES)
    labels = torch.zeros((1, 1), dtype=torch.int64)
    outcomes.add("a", labels, labels)
    with pytest.raises(ValueError, match="a was counted before"):
        outcomes.add("a", labels, labels)


def test_images_of_several_processes_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three processes counted image 003."""
    maps = drawn_maps(8)
    names = sorted(maps)
    parts = []
    for own in (names[:4], names[3:6], names[6:]):
        outcomes = PixelOutcomes(CLASSES, keep=("001", "007"))
        for name in own:
            outcomes.add(name, *map(torch.from_numpy, maps[name]))
        parts.append(outcomes)
    everyone = [(part._counts, part.kept) for part in parts]
    monkeypatch.setattr(pixel_outcomes, "gathered", lambda own: everyone)
    alone = outcomes_of(maps).scores(5)
    for part in parts:
        part.gather()
        assert part.scores(5) == alone
        assert sorted(part.kept) == ["001", "007"]
        assert part.kept["007"].dtype == np.uint8
        np.testing.assert_array_equal(part.kept["007"], maps["007"][0])


def test_intervals_hold_the_value_and_are_drawn_by_the_seed() -> None:
    outcomes = outcomes_of(drawn_maps(30))
    first, again, other = outcomes.scores(1), outcomes.scores(1), outcomes.scores(2)
    assert first == again
    for name, metric in first.metrics.items():
        assert metric.interval is not None and other.metrics[name].interval is not None
        low, high = metric.interval
        assert 0 <= low < metric.value < high <= 100
        assert metric.interval != other.metrics[name].interval
    (note,) = [note for note in first.notes if note.startswith("intervals")]
    assert "2000 resamples of the 30 evaluated images, not of pretrainings or seeds" in note


def test_few_images_have_no_interval_and_it_is_said() -> None:
    scores = outcomes_of(drawn_maps(19)).scores(0)
    assert all(metric.interval is None for metric in scores.metrics.values())
    assert scores.notes == ("no intervals: they need 20 evaluated images",)


def test_perfect_predictions_have_no_interval_and_it_is_said() -> None:
    maps = {name: (np.where(truth == 255, 0, truth), truth) for name, (_, truth) in drawn_maps(20).items()}
    scores = outcomes_of(maps).scores(0)
    assert [metric.value for metric in scores.metrics.values()] == [100, 100, 100]
    assert all(metric.interval is None for metric in scores.metrics.values())
    assert "none for mIoU, mAcc, aAcc, where all resamples are equal" in scores.notes[0]


def test_rare_classes_are_said() -> None:
    maps = drawn_maps(25, classes=3)
    for name in itertools.islice(maps, 4):
        maps[name][1][0, 0] = 3
    (note,) = outcomes_of(maps).scores(0).notes
    assert note.endswith("too narrow for the 1 classes that fewer than 10 images show")
