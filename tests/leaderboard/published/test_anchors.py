"""Anchors: only exact protocol, data and weights; the published value is that of the published table."""

import csv
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.published.anchors import known_anchors
from mmbench.records.store import DatasetReference, Metric, Result

Make = Callable[..., Result]
CARD = {"arm": "moco_v2_800ep_pretrain", "arch": "resnet50", "framework": "moco", "epochs": 800}
IMAGENET = DatasetReference(name="imagenet", fingerprint="cd" * 32, split_sizes={"train": 1281167})


def measured(
    record: Make, *, images: int = 50000, card: dict[str, Any] | None = None, **changes: Any
) -> Result:
    facts: dict[str, Any] = {
        "protocol": "linear/moco@2",
        "dataset": IMAGENET,
        "metrics": {"top1": Metric(value=70.9, higher_is_better=True, n=images)},
    }
    base = record("moco", card_changes={**CARD, **(card or {})})
    return Result(**{**base.model_dump(), **facts, **changes})


def test_every_entry_is_a_number_of_the_published_table() -> None:
    table = resources.files("mmbench.leaderboard.published").joinpath("published_results.csv")
    with table.open(encoding="utf-8") as stream:
        published = list(csv.DictReader(stream))
    entries = known_anchors().to_dict("records")
    assert len(entries) == 6
    for entry in entries:
        names = ("method", "variant", "task", "dataset", "protocol", "metric", "source")
        [row] = [
            row
            for row in published
            if all(row[name] == entry[name] for name in names) and row["pretrain_epochs"] == entry["epochs"]
        ]
        assert row["value"] == entry["value"] and row["origin"] == "own run"


def test_a_measured_run_of_released_weights_is_compared(record: Make, write: Callable[..., Path]) -> None:
    board = read_board(write(measured(record)))
    [anchor] = board.anchors
    assert (anchor.measured, anchor.published) == (70.9, 71.1)  # facebookresearch/moco, README.md
    assert anchor.difference == pytest.approx(-0.2)
    assert anchor.column == board.columns[0].key and anchor.row == "moco_v2_800ep_pretrain"
    assert anchor.source.startswith("facebookresearch/moco:README.md")
    assert "measured: n=1" in anchor.note and "keeps the best of all epochs" in anchor.note
    assert [row.arm for row in board.rows] == ["moco_v2_800ep_pretrain"]  # the published one is no row
    assert read_board(write(measured(record)), published=False).anchors == ()


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": "linear/moco@2+custom"},
        {"protocol": "linear/moco-sweep@2"},
        {"images": 10000},
        {"notes": ["5 of the 1000 classes of imagenet: figures do not compare with published ones"]},
        {"dataset": IMAGENET.model_copy(update={"name": "imagenet-100"})},
        {"card": {"arm": "moco_v2_800ep_pretrain_mine"}},
        {"card": {"epochs": 200}},
        {"card": {"framework": None}},
        {"card": {"arch": "resnet101"}},
    ],
)
def test_anything_else_is_no_anchor(record: Make, write: Callable[..., Path], other: dict[str, Any]) -> None:
    assert read_board(write(measured(record, **other))).anchors == ()
