"""Per-image outcomes: what images are called, and files that give the metrics of their records again."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from running import make_run, run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, ImageFiles, load_dataset
from mmbench.data.packs.header import Encoding
from mmbench.data.packs.writing import write_pack
from mmbench.errors import UserError
from mmbench.file_names import original_name, stored_name
from mmbench.leaderboard.verify.recomputed import recomputed
from mmbench.records.image_outcomes import outcomes_path, read_outcomes
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.outcomes import class_column, image_names

SHORT = {"epochs": 1, "batch_size": 20}
RUNS: dict[str, dict[str, object]] = {
    "knn/patterns@2": {},
    "knn/grid@2": {"neighbours": [1, 5], "temperatures": [0.1]},
    "linear/patterns@2": {"weight_decays": [0.1]},
    "logreg/lbfgs@4": {"candidates": 2},
    "finetune/patterns@2": SHORT,
    "semisup/patterns-10pct@2": SHORT,
}


@pytest.fixture
def measured(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> Callable[..., tuple[Result, Path]]:
    def measured(protocol: str, folder: str = "results", **overrides: object) -> tuple[Result, Path]:
        task = protocol.partition("/")[0]
        store = ResultStore(tmp_path / folder)
        asked = {"protocol_id": protocol, "overrides": dict(overrides)}
        result = run_task(task, backbone, gratings, store, work=tmp_path / "work", **asked)
        return result, make_run(task, backbone, gratings, **asked).path(store)

    return measured


@pytest.mark.parametrize("protocol", RUNS)
def test_the_file_of_a_classification_gives_its_metrics_again(
    measured: Callable[..., tuple[Result, Path]], gratings: Dataset, protocol: str
) -> None:
    result, path = measured(protocol, **RUNS[protocol])
    assert result.outcomes is not None and result.outcomes.images == 60
    table = read_outcomes(path, result.outcomes)
    assert list(table["image"]) == [str(position) for position in range(60)]
    assert list(table["label"]) == [gratings.classes[label] for label in gratings.labels("test")]
    assert (table["correct"] == (table["label"].astype(str) == table["predicted"].astype(str))).all()
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values["top1"] == 100 * table["correct"].sum() / 60 == 100 * (table["rank"] == 1).sum() / 60
    assert values["top5"] == 100 * (table["rank"] <= 5).sum() / 60
    by_class = table.groupby("label", observed=True)["correct"].mean()
    assert values["mean_per_class"] == pytest.approx(100 * by_class.mean(), rel=1e-12)
    interval = result.metrics["top1"].interval
    assert interval is not None and interval[0] < values["top1"] < interval[1]
    assert any(note.startswith("intervals: 95%, over the 60 evaluated images") for note in result.notes)
    found = recomputed(table, result.config)
    assert found == pytest.approx({name: values[name] for name in ("top1", "top5", "mean_per_class")})


def test_the_file_of_few_labels_gives_its_metrics_again(measured: Callable[..., tuple[Result, Path]]) -> None:
    result, path = measured("lowshot/k@2", shots=[1, 4], draws=3)
    assert result.outcomes is not None
    table = read_outcomes(path, result.outcomes)
    for name, shots in (("right_1shot", 1), ("right_4shot", 4)):
        share = 100 * float(table[name].mean()) / 3
        assert result.metrics[f"top1_{shots}shot"].value == pytest.approx(share, rel=1e-12)
    assert np.allclose(table["correct"], (table["right_1shot"] + table["right_4shot"]) / 6)
    assert result.metrics["top1"].value == pytest.approx(100 * table["correct"].mean(), rel=1e-12)
    means = table.groupby("label", observed=True)["correct"].mean()
    assert result.metrics["mean_per_class"].value == pytest.approx(100 * means.mean(), rel=1e-12)
    for name in ("top1", "mean_per_class"):
        low, high = result.metrics[name].interval or (0.0, 0.0)
        assert low < result.metrics[name].value < high
    found = recomputed(table, result.config)
    assert found == pytest.approx({name: metric.value for name, metric in result.metrics.items()})


def test_the_same_run_writes_the_same_bytes(measured: Callable[..., tuple[Result, Path]]) -> None:
    (first, here), (second, there) = (measured("knn/patterns@2", folder) for folder in ("a", "b"))
    assert outcomes_path(here).read_bytes() == outcomes_path(there).read_bytes()
    assert first.outcomes == second.outcomes and first.metrics == second.metrics
    leftovers = [path for path in here.parent.iterdir() if path.name.startswith(".")]
    assert not leftovers


def test_outcomes_of_a_run_that_was_killed_are_replaced(measured: Callable[..., tuple[Result, Path]]) -> None:
    result, path = measured("knn/patterns@2")
    expected = outcomes_path(path).read_bytes()
    path.unlink()
    outcomes_path(path).write_bytes(b"half of a file")
    assert measured("knn/patterns@2")[0].outcomes == result.outcomes
    assert outcomes_path(path).read_bytes() == expected


def test_outcomes_that_are_not_the_records_are_refused(measured: Callable[..., tuple[Result, Path]]) -> None:
    result, path = measured("knn/patterns@2")
    assert result.outcomes is not None
    table = pd.read_parquet(outcomes_path(path))
    table.iloc[:-1].to_parquet(outcomes_path(path))
    with pytest.raises(UserError, match="is not what its record was written with"):
        read_outcomes(path, result.outcomes)
    outcomes_path(path).unlink()
    with pytest.raises(UserError, match="no per-image outcomes at"):
        read_outcomes(path, result.outcomes)


@given(st.binary(min_size=1, max_size=12))
def test_names_of_any_bytes_survive(name: bytes) -> None:
    text = os.fsdecode(name)
    stored = stored_name(text)
    stored.encode()  # every file can hold it
    assert original_name(stored) == text
    if text.isascii() and "\\" not in text:
        assert stored == text


def test_images_are_called_by_their_path_below_the_data_set(tmp_path: Path) -> None:
    paths = ["cat/1.jpg", "cat/ni\udcf1o.jpg", "dog\\1.jpg", "cat/1.jpg"]
    files = ImageFiles(tmp_path / "test", paths, torch.zeros(4, dtype=torch.int64))
    dataset = Dataset("pets", tmp_path, ("cat",), files={"test": lambda: files})
    assert image_names(dataset, "test") == [
        "test/cat/1.jpg",
        "test/cat/ni\\xf1o.jpg",
        "test/dog\\\\1.jpg",
        "test/cat/1.jpg (2)",
    ]


def test_images_of_a_packed_copy_are_called_as_those_of_its_source(tmp_path: Path) -> None:
    for split, name in itertools.product(("train", "val", "test"), ("cat", "dog")):
        (tmp_path / "pets" / split / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (len(split), len(name), 0)).save(tmp_path / "pets" / split / name / "1.png")
    source = load_dataset(str(tmp_path / "pets"))
    write_pack(source, tmp_path / "pack", Encoding(short_side=8, format="png"))
    pack = load_dataset(str(tmp_path / "pack"))
    assert image_names(pack, "test") == image_names(source, "test") == ["test/cat/1.png", "test/dog/1.png"]


def test_classes_of_one_name_stay_apart() -> None:
    column = class_column(("cat", "cat", "ni\udcf1o"), torch.tensor([2, 0, 1]))
    assert list(column) == ["ni\\xf1o (2)", "cat (0)", "cat (1)"]
    assert list(class_column(("cat", "dog"), torch.tensor([1, 0, 1]))) == ["dog", "cat", "dog"]
