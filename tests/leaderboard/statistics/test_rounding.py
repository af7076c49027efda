"""What rounding alone tells apart is equal; what one image tells apart is not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from mmbench.leaderboard.statistics.differences import CONSTANT, difference_of
from mmbench.leaderboard.statistics.groups import leading_group
from mmbench.leaderboard.statistics.overall import overall_of
from mmbench.leaderboard.statistics.ranking import mean_ranks
from mmbench.leaderboard.statistics.rounding import levelled
from mmbench.leaderboard.statistics.runs import Runs

SPLITS = [[1421, 1418, 1424], [1418, 1424, 1421], [1418, 1421, 1424], [1424, 1418, 1421]]  # of 2,000 images
EQUAL = [[100 * right / 2000 for right in split] for split in SPLITS]
Key = tuple[str, str, str, str]


def row(*values: float, **facts: object) -> pd.DataFrame:
    weights = [f"w{place}" for place in range(len(values))]
    seeds = range(len(values))
    return pd.DataFrame({"value": values, "weights": weights, "pretraining_seed": seeds, **facts})


def column(place: int, *rows: list[float]) -> dict[Key, dict[str, pd.DataFrame]]:
    key = (f"c{place}", "data", "p/x@1", "top1")
    return {key: {f"r{number}": row(*values) for number, values in enumerate(rows)}}


def test_the_example_has_means_that_differ_in_the_last_bit() -> None:
    assert len({Runs.of(row(*values)).mean for values in EQUAL}) > 1


@pytest.mark.parametrize("images", [7, 2000, 10_000, 50_000])
def test_means_are_equal_if_and_only_if_their_exact_totals_are(images: int) -> None:
    generator = np.random.default_rng(images)
    counts = generator.integers(0, images + 1, (400, 3))
    counts[1::2] = counts[::2] + generator.permuted(np.tile([1, -1, 0], (200, 1)), axis=1)  # equal totals
    counts[3::4, 0] += 1  # one image more
    exact = [Fraction(int(total), 3 * images) for total in counts.sum(axis=1)]
    found = levelled((100 * counts / images).mean(axis=1))
    assert found == pytest.approx([100 * float(share) for share in exact])
    equal = np.array([[one == other for other in exact] for one in exact])
    assert equal.sum() > 400
    assert ((found[:, None] == found) == equal).all()


def test_columns_are_levelled_apart_and_order_does_not_matter() -> None:
    means = np.array([[71.05, 3.0], [np.nextafter(71.05, 72), 71.05], [71.06, np.nextafter(3.0, 2)]])
    expected = np.array([[71.05, np.nextafter(3.0, 2)], [71.05, 71.05], [71.06, np.nextafter(3.0, 2)]])
    assert (levelled(means) == expected).all()
    assert (levelled(means[::-1]) == expected[::-1]).all()
    assert levelled(np.array([])).shape == (0,)


def test_equal_totals_share_their_rank_and_the_draws() -> None:
    found = mean_ranks(column(0, *EQUAL), dict.fromkeys(column(0), True))
    assert [summary.mean for summary in found.values()] == [2.5] * 4
    for summary in found.values():
        assert summary.p_best == pytest.approx(0.25, abs=0.04)


def test_equal_totals_have_no_difference() -> None:
    labels = ["a", "b", "c"]
    for values in EQUAL[1:]:
        assert difference_of(row(*values), row(*EQUAL[0])).value == 0
        paired = difference_of(row(*values, labels=labels), row(*EQUAL[0], labels=labels))
        assert paired.value == 0 and paired.paired


def test_a_last_bit_does_not_decide_which_rows_the_others_are_compared_with() -> None:
    """Of four equal means the first three by name are; only the first varies so little as to beat one."""
    wide = row(61.05 + 3e-13, 71.05, 81.05)
    assert Runs.of(wide).mean > Runs.of(row(71.0, 71.05, 71.1)).mean
    by_row = {"a": row(71.0, 71.05, 71.1), "b": wide, "c": wide, "d": wide, "e": row(60.0, 60.1, 60.2)}
    assert leading_group(by_row, True) == frozenset("abcd")


def test_a_column_of_equal_totals_has_no_normalised_scores() -> None:
    apart = column(0, [72.3, 71.6, 72.2], [70.1, 69.7, 70.2])
    both = {**apart, **column(1, EQUAL[0], EQUAL[1])}
    found, alone = (overall_of(cells, dict.fromkeys(cells, True), set()) for cells in (both, apart))
    assert found == alone and alone is not None
    assert overall_of(column(1, *EQUAL), dict.fromkeys(column(1), True), set()) is None


def test_equal_totals_share_their_ranks_in_the_tests_of_friedman_and_nemenyi() -> None:
    levels = np.random.default_rng(0).normal(60, 5, (3, 6))
    cells, exact = {}, {}
    for place in range(6):
        tied = [EQUAL[place % 4], EQUAL[(place + 1) % 4]]
        third = [levels[0, place] - 30] * 3
        cells |= column(place, *tied, third)
        exact |= column(place, [71.05] * 3, [71.05] * 3, third)
    found, expected = (overall_of(each, dict.fromkeys(each, True), set()) for each in (cells, exact))
    assert found is not None and expected is not None
    assert found.critical_difference is not None and found.critical_difference["r0", "r1"] == 1.0
    assert found.critical_difference == expected.critical_difference and found.friedman == expected.friedman


def test_profiles_reach_thresholds_that_scores_equal() -> None:
    """Of the range from 30 to 37, in which 0.1, 0.7 and 0.9 come out a little lower in binary."""
    ends = [30.0, 37.0]
    scores = [0.1, 0.3, 0.35, 0.6, 0.7, 0.9]
    rows = [[ends[0]] * 6, [ends[1]] * 6, [30 + 7 * score for score in scores]]
    found = overall_of(column(0, *rows), dict.fromkeys(column(0), True), set())
    assert found is not None
    for threshold, share in zip(found.thresholds, found.profiles["r2"], strict=True):
        tenth = round(100 * threshold)
        assert share == pytest.approx(sum(round(100 * score) >= tenth for score in scores) / 6)
    assert found.profiles["r1"][-1] == 1.0


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        ({}, True),
        ({"unit": "percent"}, True),
        ({"unit": "percent", "metric": "top1"}, True),
        ({"unit": "percent", "metric": "mean_per_class"}, True),
        ({"unit": "percent", "metric": "top1_5shot"}, True),
        ({"unit": "count", "metric": "errors"}, False),
        ({"unit": "nats", "metric": "loss"}, False),
        *(
            ({"unit": "percent", "metric": name}, False)
            for name in ("AP", "AP50", "APs", "mask_AP75", "coco_keypoint_AP", "coco_mask_APl")
        ),
        *(
            ({"unit": "percent", "metric": name}, False)
            for name in ("mAP", "mAP_11_points", "mIoU", "mAcc", "aAcc")
        ),
    ],
)
def test_one_image_is_a_step_of_shares_of_images_alone(facts: dict[str, object], step: bool) -> None:
    """Runs of 20 images, 40 and 45: one image apart as a share in percent, and nothing else."""
    found = difference_of(row(40.0, 45.0, images=20, **facts), row(20.0, 25.0, images=20, **facts))
    assert (found.method == CONSTANT) is step and (found.interval is None) is step
    sure = difference_of(row(40.0, 50.0, images=20, **facts), row(20.0, 30.0, images=20, **facts))
    assert sure.interval is not None
