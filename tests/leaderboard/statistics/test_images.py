"""Single runs compared over images, from files of per-image outcomes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmbench.leaderboard.statistics import images
from mmbench.leaderboard.statistics.differences import difference_of


def run(folder: Path, name: str, outcomes: pd.DataFrame, value: float, metric: str = "top1") -> pd.DataFrame:
    """Return a single run, and write its outcomes where its record would have them."""
    file = folder / f"{name}.images.parquet"
    outcomes.to_parquet(file, index=False)
    facts = {
        "value": value,
        "weights": name,
        "metric": metric,
        "path": str(folder / f"{name}.json"),
        "outcomes": hashlib.sha256(file.read_bytes()).hexdigest(),
        "images": outcomes["image"].nunique(),
    }
    return pd.DataFrame([facts])


def classified(correct: list[bool]) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{place}.png" for place in range(len(correct))], "correct": correct})


@pytest.fixture
def pair(tmp_path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    first = [True] * 70 + [False] * 30
    second = [True] * 62 + [False] * 8 + [True] * 2 + [False] * 28
    shuffled = classified(second).sample(frac=1, random_state=0)
    return run(tmp_path, "a", classified(first), 70.0), run(tmp_path, "b", shuffled, 64.0)


def test_classified_images_are_compared_by_mcnemars_exact_test(
    pair: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    found = difference_of(*pair)
    assert found.method == images.MCNEMAR and found.paired and found.value == 6.0
    assert found.p == pytest.approx(stats.binomtest(8, 10).pvalue)
    share = (8.5 - 2.5) / 102
    error = np.sqrt(((8.5 + 2.5) / 102 - share**2) / 102)
    assert found.interval is not None and found.interval.basis == "images"
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (100 * (share - 1.959964 * error), 100 * (share + 1.959964 * error)), rel=1e-6
    )


def test_missing_changed_and_other_outcomes_give_the_reason(
    pair: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    ours, theirs = pair
    assert difference_of(ours, theirs.drop(columns="outcomes")).method == images.MISSING
    assert difference_of(ours, theirs.assign(path=None)).method == images.MISSING
    assert difference_of(ours, theirs.assign(outcomes=np.nan)).method == images.MISSING
    assert difference_of(ours, theirs.assign(outcomes="0" * 64)).method == images.UNREADABLE
    assert difference_of(ours, theirs.assign(path=str(tmp_path / "gone.json"))).method == images.UNREADABLE
    other = run(tmp_path, "c", classified([True] * 99), 100.0)
    assert difference_of(ours, other).method == images.OTHER_IMAGES
    renamed = classified([True] * 100).assign(image=lambda table: "x" + table["image"])
    assert difference_of(ours, run(tmp_path, "d", renamed, 100.0)).method == images.OTHER_IMAGES
    changed = ours.assign(metric="mean_per_class")
    found = difference_of(changed, theirs.assign(metric="mean_per_class"))
    assert (found.method, found.interval, found.p, found.paired) == (images.OTHER_METRIC, None, None, False)


def test_equal_outcomes_give_no_interval(tmp_path: Path) -> None:
    right = classified([True, False] * 20)
    found = difference_of(run(tmp_path, "a", right, 50.0), run(tmp_path, "b", right, 50.0))
    assert found.interval is None and found.method == images.NO_DIFFERENCE


def test_shares_of_several_fits_are_compared_by_a_paired_t(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    first, second = (generator.binomial(12, rate, 60) / 12 for rate in (0.7, 0.6))
    names = [f"{place}.png" for place in range(60)]
    sides = [
        run(tmp_path, name, pd.DataFrame({"image": names, "correct": shares}), 100 * shares.mean())
        for name, shares in (("a", first), ("b", second))
    ]
    found = difference_of(*sides)
    expected = stats.ttest_rel(100 * first, 100 * second)
    assert found.method == images.PAIRED and found.paired and found.interval is not None
    assert found.interval.basis == "images" and found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))
    constant = run(tmp_path, "c", pd.DataFrame({"image": names, "correct": first + 0.25}), 80.0)
    assert difference_of(constant, sides[0]).method == images.ALIKE
    few = [
        run(tmp_path, n, pd.DataFrame({"image": names[:9], "correct": s[:9]}), 50.0)
        for n, s in (("d", first), ("e", second))
    ]
    assert difference_of(*few).method == images.FEW_IMAGES


def label_maps(generator: np.random.Generator, accuracy: float, labelled: np.ndarray) -> pd.DataFrame:
    right = generator.binomial(labelled, accuracy)
    count, classes = labelled.shape
    return pd.DataFrame(
        {
            "image": np.repeat([f"{place}.png" for place in range(count)], classes),
            "class": np.tile([f"class {place}" for place in range(classes)], count),
            "intersection": right.ravel(),
            "union": (2 * labelled - right).ravel(),
            "labelled": labelled.ravel(),
            "predicted": labelled.ravel(),
        }
    )


def iou(table: pd.DataFrame) -> float:
    total = table.groupby("class")[["intersection", "union"]].sum()
    return float(100 * (total["intersection"] / total["union"]).mean())


def test_label_maps_are_compared_by_resampling_images_for_both(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labelled = generator.integers(0, 200, (40, 3))
    first, second = (label_maps(generator, accuracy, labelled) for accuracy in (0.8, 0.79))
    value = iou(first) - iou(second)
    found = difference_of(
        run(tmp_path, "a", first, iou(first), "mIoU"), run(tmp_path, "b", second, iou(second), "mIoU")
    )
    assert found.method == images.BOOTSTRAP and found.interval is not None and found.paired
    resampled = []
    names = first["image"].unique()
    sides = [dict(list(side.groupby("image"))) for side in (first, second)]
    for _ in range(60):
        drawn = generator.choice(names, len(names))
        resampled.append(
            iou(pd.concat([sides[0][name] for name in drawn]))
            - iou(pd.concat([sides[1][name] for name in drawn]))
        )
    error = np.std(resampled, ddof=1)
    assert found.interval.high - value == pytest.approx(1.96 * error, rel=0.35)
    assert value - found.interval.low == pytest.approx(found.interval.high - value)
    error = (found.interval.high - value) / 1.959964
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(value) / error), rel=1e-4)
