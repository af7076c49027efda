"""Verification: each kind of fault is found, with its level, and sound records have none."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.leaderboard.command import leaderboard
from mmbench.leaderboard.verify.recomputed import recomputed
from mmbench.leaderboard.verify.records import verify
from mmbench.records import store as results
from mmbench.records.image_outcomes import ImageOutcomes, outcomes_path
from mmbench.records.store import DatasetReference, Metric, Result, ResultStore
from mmbench.verification import with_digest

Make = Callable[..., Result]
KNN = "knn/patterns@1"  # its one metric is top1
NOW = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)
FUTURE = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)


def percent(value: float, n: int = 2000, **facts: Any) -> Metric:
    return Metric(value=value, higher_is_better=True, n=n, **facts)


def problems_of(root: Path) -> list[tuple[str, str]]:
    """Return the problems of single records; those of the folder are about what a board would say."""
    problems = verify([root], NOW).problems
    return [(problem.level, problem.reason) for problem in problems if problem.file != str(root)]


def test_sound_records_have_no_problem(record: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for seed, value in enumerate((70.0, 70.5)):
        store.write(record("moco", KNN, seed=seed, value=value, wall_seconds=10.0 + seed))
    store.write(record("random", KNN, value=56.0, wall_seconds=9.0))
    report = verify([tmp_path], NOW)
    assert (report.records, report.problems) == (3, ())


def test_weights_are_identified_as_on_a_board(record: Make, tmp_path: Path) -> None:
    """An older record knows the digest of its file alone; a newer one links it to that of the tensors."""
    older = record("moco", KNN, value=70.0, wall_seconds=10.0)
    newer = record(
        "moco",
        KNN,
        value=70.0,
        wall_seconds=11.0,
        weights_sha256="ab" * 32,
        card_changes={"precision": "float32"},
    )
    store = ResultStore(tmp_path)
    assert store.write(older) != store.write(newer)
    found = [reason for level, reason in problems_of(tmp_path) if level == "error"]
    assert len(found) == 1 and "is the same run as" in found[0]
    other = record("moco", KNN, seed=1, value=71.0, weights_sha256="cd" * 32)
    store.write(other)
    assert [reason for level, reason in problems_of(tmp_path) if level == "error"] == found


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"metrics": {"top1": percent(70), "top5": percent(60)}}, "error", "top1 70 exceeds top5 60"),
        ({"metrics": {"top1": percent(70, interval=(71, 72))}}, "warning", "outside its interval"),
        ({"metrics": {"top1": percent(0)}}, "warning", "exactly 0"),
        ({"metrics": {"top1": percent(70.01)}}, "warning", "not a whole number of 2000 images"),
        (
            {
                "metrics": {"top1": percent(70), "mean_per_class": percent(71)},
                "per_class": {"a": 60, "b": 80},
            },
            "error",
            "the mean of its classes is 70.0000",
        ),
        (
            {"metrics": {"top1": percent(70)}, "per_class": {"a": 60, "b": 65}},
            "error",
            "its classes' 60 to 65",
        ),
        (
            {"metrics": {"top1": percent(20)}, "per_class": {"a": 20, "b": 20}},
            "warning",
            "far below chance, 50",
        ),
        (
            {"dataset": DatasetReference(name="patterns", fingerprint="ab", split_sizes={"test": 1000})},
            "warning",
            "over 2000 images, but test has 1000",
        ),
        ({"created": FUTURE}, "error", "in the future"),
        ({"created": datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)}, "warning", "before there was"),
        ({"wall_seconds": 0.0}, "warning", "took 0 seconds"),
        ({"images_per_second": 0.0}, "warning", "0 images per second"),
        ({"card_changes": {"source_format": "random"}}, "error", "cannot have 8 pretraining epochs"),
        ({"card_changes": {"epochs": 0}}, "warning", "not a control"),
        ({"card_changes": {"pretrain_seconds": 0.0}}, "warning", "8 pretraining epochs in 0 seconds"),
    ],
)
def test_what_one_record_shows(
    record: Make, tmp_path: Path, changes: dict[str, Any], level: str, words: str
) -> None:
    metrics = {"metrics": {"top1": percent(70)}}
    ResultStore(tmp_path).write(record("moco", KNN, **{**metrics, **changes}))
    [(found, reason)] = problems_of(tmp_path)
    assert found == level and words in reason


def test_what_records_together_show(record: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.write(record("random", KNN, value=56.0, wall_seconds=1.0))
    store.write(record("moco", KNN, value=50.0, wall_seconds=2.0))
    store.write(record("mixmask", KNN, seed=0, value=71.0, wall_seconds=3.0))
    store.write(record("mixmask", KNN, seed=1, value=71.0, wall_seconds=3.0))
    fraction = {"top1": percent(0.9), "top5": percent(0.95)}
    store.write(record("erase", KNN, metrics=fraction, wall_seconds=4.0))
    same = {"card_changes": {"pretrain_seconds": 41.5}}
    store.write(record("mscn", KNN, seed=0, value=69.0, wall_seconds=5.0, **same))
    store.write(record("mscn", KNN, seed=1, value=69.5, wall_seconds=6.0, **same))
    found = problems_of(tmp_path)
    assert sum("not better than random weights, 56" in reason for _, reason in found) == 2
    assert sum("every value and the seconds equal" in reason for _, reason in found) == 1
    assert sum("looks like a fraction of 1" in reason for _, reason in found) == 1
    assert sum("took 41.5 s, exactly as long" in reason for _, reason in found) == 1
    assert len(found) == 5 and {level for level, _ in found} == {"warning"}


def test_a_copy_under_another_seed_is_an_error(record: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    one = record("moco", KNN, value=70.0)
    store.write(one)
    store.write(one.model_copy(update={"seed": 5}))
    [(level, reason)] = problems_of(tmp_path)
    assert level == "error" and "every value, the seconds and the date equal" in reason


def test_files_are_compared_with_their_content(record: Make, tmp_path: Path) -> None:
    path = ResultStore(tmp_path).write(record("moco", KNN, value=70.0))
    values = json.loads(path.read_text())
    values["seed"] = 3  # an edit that knows of the digest
    path.write_text(json.dumps(with_digest({k: v for k, v in values.items() if k != "digest"})))
    [(level, reason)] = problems_of(tmp_path)
    assert level == "error" and "its name is of another seed than its content" in reason

    path.write_text(json.dumps(values))
    [(level, reason)] = problems_of(tmp_path)
    assert level == "error" and "damaged" in reason

    del values["digest"]
    path.unlink()
    (tmp_path / "mine.json").write_text(json.dumps(values))
    assert [level for level, _ in problems_of(tmp_path)] == ["warning", "warning"]
    (tmp_path / "notes.json").write_text("{}")
    assert [level for level, _ in problems_of(tmp_path)] == ["error", "warning", "warning"]


def outcomes() -> pd.DataFrame:
    labels = ["a"] * 12 + ["b"] * 8
    predicted = ["a"] * 9 + ["b"] * 9 + ["a"] * 2
    images = [f"test/{n}.png" for n in range(20)]
    table = pd.DataFrame({"image": images, "label": labels, "predicted": predicted})
    return table.assign(correct=table["label"] == table["predicted"])


def write_with_outcomes(store: ResultStore, result: Result, table: pd.DataFrame) -> Path:
    path = store.write(result)
    table.to_parquet(outcomes_path(path), index=False)
    stated = ImageOutcomes(sha256=sha256_of(outcomes_path(path)), images=len(table))
    return store.write(result.model_copy(update={"outcomes": stated}))


def test_metrics_are_computed_anew_from_per_image_outcomes(record: Make, tmp_path: Path) -> None:
    # 9 of 12 and 6 of 8 are right.
    right = {"top1": percent(75, 20), "mean_per_class": percent(75, 20)}
    path = write_with_outcomes(ResultStore(tmp_path), record("moco", KNN, metrics=right), outcomes())
    report = verify([tmp_path], NOW)
    assert (report.recomputed, report.problems) == (1, ())

    wrong = record("moco", KNN, metrics={"top1": percent(80, 20)})
    write_with_outcomes(ResultStore(tmp_path), wrong, outcomes())
    [(level, reason)] = problems_of(tmp_path)
    assert level == "error" and reason == "top1 is 80.0, but 75.0 by its per-image outcomes"

    write_with_outcomes(
        ResultStore(tmp_path), record("moco", KNN, metrics=right), outcomes().assign(correct=True)
    )
    assert any("5 images are called right or wrong against" in reason for _, reason in problems_of(tmp_path))

    write_with_outcomes(ResultStore(tmp_path), record("moco", KNN, metrics=right), outcomes())
    outcomes_path(path).write_bytes(b"other")
    [(level, reason)] = problems_of(tmp_path)
    assert level == "error" and "not what its record was written with" in reason
    outcomes_path(path).unlink()
    assert "no per-image outcomes at" in problems_of(tmp_path)[0][1]
    (tmp_path / "alone.images.parquet").write_bytes(b"")
    assert ("warning", "per-image outcomes without their record") in problems_of(tmp_path)


def test_metrics_of_label_maps_are_computed_from_all_pixels() -> None:
    generator = np.random.default_rng(0)
    rows = []
    confusion = np.zeros((3, 3))
    for image in range(5):
        counts = generator.integers(0, 50, (3, 3))
        counts[2] = 0  # the third class is in no label map
        confusion += counts
        for place, name in enumerate("abc"):
            union = counts[place].sum() + counts[:, place].sum() - counts[place, place]
            facts = {"intersection": counts[place, place], "union": union, "labelled": counts[place].sum()}
            rows.append({"image": str(image), "class": name, **facts})
    found = recomputed(pd.DataFrame(rows), {})
    ious, accuracies = [], []
    for place in range(3):
        hit, row, column = confusion[place, place], confusion[place].sum(), confusion[:, place].sum()
        ious.append(hit / (row + column - hit))
        accuracies += [hit / row] if row else []
    assert found["mIoU"] == pytest.approx(100 * sum(ious) / 3)
    assert found["mAcc"] == pytest.approx(100 * sum(accuracies) / 2)
    assert found["aAcc"] == pytest.approx(100 * np.trace(confusion) / confusion.sum())
    assert recomputed(pd.DataFrame({"image": ["a"]}), {}) == {}


def detections(seed: int, classes: str) -> pd.DataFrame:
    """Return outcomes of 12 images: of every class some objects, but of the last; and ranked detections."""
    generator = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for place, name in enumerate(classes):
        for image in range(12):
            objects = int(generator.integers(0, 3)) if place < len(classes) - 1 else 0
            rows.append({"image": str(image), "class": name, "objects": objects})
        for rank in range(25):
            facts = {
                "image": str(generator.integers(12)),
                "class": name,
                "score": 1 - rank / 30,
                "place": rank,
            }
            status = np.sort(generator.choice([1, 0, -1], 10, p=[0.4, 0.5, 0.1]))[::-1]
            rows.append(facts | {f"iou{50 + 5 * at}": int(status[at]) for at in range(10)})
    table = pd.DataFrame(rows).sample(frac=1, random_state=0).reset_index(drop=True)
    kinds = pd.CategoricalDtype([*classes, "no row"])
    whole = dict.fromkeys(["objects", "place", *(f"iou{at}" for at in range(50, 100, 5))], "Int32")
    return table.astype({"class": kinds, **whole})


def looped(table: pd.DataFrame, name: str, at: int, recalls: list[float]) -> float | None:
    own = table[table["class"] == name]
    objects = int(own["objects"].sum())
    right, seen, curve = 0, 0, []
    for status in own[own["place"].notna()].sort_values("place")[f"iou{at}"]:
        right, seen = right + (status == 1), seen + (status != -1)
        curve.append((right / objects if objects else 0.0, right / max(seen, 1)))
    if not objects:
        return None
    return sum(max((p for r, p in curve if r >= recall), default=0.0) for recall in recalls) / len(recalls)


def test_average_precisions_are_computed_anew(record: Make, tmp_path: Path) -> None:
    coco, voc = detections(1, "abc"), detections(2, "abc")
    for family, absent, recalls in (
        ("AP", None, np.linspace(0, 1, 101).tolist()),
        ("coco_AP", None, np.linspace(0, 1, 101).tolist()),
        ("AP", 0.0, np.arange(0, 1.1, 0.1).tolist()),
    ):
        table = (voc if absent == 0.0 else coco).assign(metric=family)
        if absent == 0.0:  # VOC's evaluation has COCO's beside it
            table = pd.concat([table, coco.assign(metric="coco_AP")], ignore_index=True)
            table["class"] = table["class"].astype(coco["class"].dtype)
        own = table[table["metric"] == family]
        found, prefix = recomputed(table, {}), family.removesuffix("AP")
        for name, percents in (("AP", range(50, 100, 5)), ("AP50", [50]), ("AP75", [75])):
            every = [looped(own, kind, at, recalls) for kind in ("a", "b", "c", "no row") for at in percents]
            values = [absent if value is None else value for value in every]
            known = [value for value in values if value is not None]
            assert found[f"{prefix}{name}"] == pytest.approx(100 * sum(known) / len(known), abs=1e-9)
    metrics = {name: percent(value, 12) for name, value in recomputed(coco.assign(metric="AP"), {}).items()}
    metrics |= {"APs": percent(1.0, 12)}
    result = record("moco", "detection/patterns@1", metrics=metrics, primary_metric="AP")
    write_with_outcomes(ResultStore(tmp_path), result, coco.assign(metric="AP"))
    report = verify([tmp_path], NOW)
    assert report.recomputed == 1 and report.not_recomputed == (("APs", 1),)
    assert not any("by its per-image outcomes" in problem.reason for problem in report.problems)
    wrong = result.model_copy(update={"metrics": metrics | {"AP50": percent(99, 12)}})
    write_with_outcomes(ResultStore(tmp_path), wrong, coco.assign(metric="AP"))
    assert [r for _, r in problems_of(tmp_path) if r.startswith("AP50 is 99.0, but")]


def test_several_fits_are_computed_anew() -> None:
    labels, right = ["a"] * 3 + ["b"] * 2, {"right_1shot": [0, 2, 1, 2, 2], "right_4shot": [2, 2, 1, 0, 2]}
    shares = [(one + other) / 4 for one, other in zip(*right.values(), strict=True)]
    table = pd.DataFrame({"image": list("vwxyz"), "label": labels, "correct": shares, **right})
    assert recomputed(table, {"draws": 2}) == pytest.approx(
        {
            "top1": 100 * 14 / 20,
            "mean_per_class": 100 * (8 / 12 + 6 / 8) / 2,
            "top1_1shot": 70.0,
            "mean_per_class_1shot": 100 * (3 / 6 + 4 / 4) / 2,
            "top1_4shot": 70.0,
            "mean_per_class_4shot": 100 * (5 / 6 + 2 / 4) / 2,
        }
    )
    assert set(recomputed(table, {})) == {"top1", "mean_per_class"}


def test_every_record_is_read_once(record: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, read = ResultStore(tmp_path), list[Path]()
    for seed, value in enumerate((70.0, 71.0, 72.0)):
        store.write(record("moco", KNN, seed, value))
    once = results.result_in
    monkeypatch.setattr(results, "result_in", lambda path: (read.append(path), once(path))[1])
    report = verify([tmp_path], NOW)
    assert len(read) == len(set(read)) == report.records == report.without_outcomes == 3
    (tmp_path / "empty").mkdir()
    beside = verify([tmp_path, tmp_path / "empty"], NOW).of("warning")
    assert [p.reason for p in beside if p.file.endswith("empty")] == ["holds no result records"]


def test_the_command_says_what_it_found(record: Make, tmp_path: Path) -> None:
    path = ResultStore(tmp_path).write(record("moco", KNN, value=70.0))
    sound = CliRunner().invoke(leaderboard, ["verify", str(tmp_path)])
    assert sound.exit_code == 0 and "1 record, 0 computed anew" in sound.output
    assert "not computed anew: 1 record without per-image outcomes\n" in sound.output
    path.write_text("{}")
    wrong = CliRunner().invoke(leaderboard, ["verify", str(tmp_path)])
    assert wrong.exit_code == 1 and wrong.output.count("\n") == 2
    assert "1 error, 0 warnings" in wrong.output and path.name in wrong.output
    with pytest.raises(UserError, match="no folder"):
        verify([tmp_path / "nowhere"], NOW)
