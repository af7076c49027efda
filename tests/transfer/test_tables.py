"""What `mmbench transfer` prints of records with intervals and with an IoU per class."""

from __future__ import annotations

from pathlib import Path

from mmbench.records.store import Metric, Result, read_result
from mmbench.transfer.measuring import Outcome
from mmbench.transfer.tables import class_line, interval_lines

GOLDEN = Path(__file__).parents[1] / "leaderboard" / "golden" / "knn-pixels-schema1.json"


def record(seed: int, per_class: dict[str, float], interval: tuple[float, float] | None) -> Outcome:
    metric = Metric(value=50, higher_is_better=True, n=30, interval=interval)
    first = read_result(GOLDEN)
    changed = {
        "metrics": {"aAcc": metric, "mIoU": metric},
        "primary_metric": "mIoU",
        "per_class": per_class,
        "seed": seed,
    }
    result = Result.model_validate(first.model_dump() | changed)
    return Outcome(None, result, Path("x.json"), False)  # type: ignore[arg-type]


def test_intervals_of_each_seed_are_a_line_with_the_primary_metric_first() -> None:
    outcomes = [record(0, {}, (40.004, 60.0)), record(1, {}, None), record(2, {}, (1, 2))]
    assert interval_lines(outcomes) == [
        "95% over images, seed 0: mIoU 40.00 to 60.00, aAcc 40.00 to 60.00",
        "95% over images, seed 2: mIoU 1.00 to 2.00, aAcc 1.00 to 2.00",
    ]


def test_the_iou_per_class_is_a_mean_over_seeds_that_know_it() -> None:
    first, second = record(0, {"a": 10, "b c": 20}, None), record(1, {"a": 20}, None)
    assert class_line([first]) == "IoU per class: a 10.00, b c 20.00"
    assert class_line([first, second]) == "IoU per class, mean of 2 seeds: a 15.00, b c 20.00"
    assert class_line([record(0, {}, None)]) is None


def test_of_many_classes_the_lowest_are_shown() -> None:
    line = class_line([record(0, {f"c{number}": 100 - number for number in range(60)}, None)])
    assert line is not None and line.startswith("lowest IoU of 60 classes: c59 41.00, c58 42.00")
    assert line.count(",") == 20
