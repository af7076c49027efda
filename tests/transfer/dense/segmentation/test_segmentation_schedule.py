"""The learning rate of every iteration, under each schedule and warm-up, against a formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmseg.registry import PARAM_SCHEDULERS
from running import run_task
from small_segmentors import TIMM, losses

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.data import Dataset
from mmbench.records.store import ResultStore
from mmbench.transfer.dense.common import history
from mmbench.transfer.dense.segmentation.config import RunFacts, build_config
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.resolution import parse_settings

RATE, LENGTH, FINAL, DROPS = 0.1, 12, 1e-3, (5, 9)


def settings_of(protocol: str = "patterns@1", **overrides: Any) -> SegmentationSettings:
    return parse_settings(SegmentationSettings, get_protocol(f"segmentation/{protocol}"), overrides)


def rates(settings: SegmentationSettings) -> list[float]:
    """The rate that mmengine's schedulers of a run give to each iteration."""
    card = ModelCard(arm="any", arch="mixmask_resnet8")
    facts = RunFacts(card, ("one", "two"), None, Path("unused"), 0, torch.device("cpu"))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], settings.learning_rate)
    parts = build_config(settings, facts)["param_scheduler"]
    schedulers = [PARAM_SCHEDULERS.build({**part}, default_args={"optimizer": optimizer}) for part in parts]
    found = []
    for _ in range(settings.iterations):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return found


def expected(iteration: int, warmup: int, schedule: str) -> float:
    """The rate by formula: a straight line from a thousandth to all of it, then the decay."""
    risen = 1.0
    if iteration < warmup:
        risen = 1e-3 + (1 - 1e-3) * iteration / (warmup - 1) if warmup > 1 else 1e-3
    if schedule == "step":
        return float(RATE * risen * 0.1 ** sum(iteration >= drop for drop in DROPS))
    if iteration < warmup:
        return RATE * risen
    passed = (iteration - warmup) / (LENGTH - 1 - warmup)
    return float((RATE - FINAL) * (1 - passed) ** 0.9 + FINAL)


@pytest.mark.parametrize("warmup", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("schedule", ["step", "poly"])
def test_every_iteration_has_the_rate_of_the_formula(schedule: str, warmup: int) -> None:
    decay: dict[str, Any] = {"final_learning_rate": FINAL} if schedule == "poly" else {"decay_at": DROPS}
    settings = settings_of(
        iterations=LENGTH, learning_rate=RATE, warmup_iterations=warmup, schedule=schedule, **decay
    )
    by_hand = [expected(iteration, warmup, schedule) for iteration in range(LENGTH)]
    assert rates(settings) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("schedule", ["step", "poly"])
def test_a_single_iteration_may_be_all_of_a_training_or_all_but_one(schedule: str) -> None:
    short = {"learning_rate": RATE, "schedule": schedule}
    assert rates(settings_of(**short, iterations=2, warmup_iterations=1)) == pytest.approx(
        [RATE / 1000, RATE]
    )
    assert rates(settings_of(**short, iterations=1, warmup_iterations=0)) == [RATE]


def warm(**overrides: Any) -> SegmentationSettings:
    """own@1 with a warm-up, as a user's own protocol may have."""
    protocol = get_protocol("segmentation/own@1")
    protocol = protocol.model_copy(update={"settings": {**protocol.settings, "warmup_iterations": 100}})
    return parse_settings(SegmentationSettings, protocol, overrides)


@pytest.mark.parametrize(
    "settings",
    [
        warm(iterations=10),
        warm(iterations=19),
        warm(fewest_iterations=15).effective(3),
        warm(batch_size=1600, epochs=None),  # a hundred times the reference
    ],
    ids=["ten", "nineteen", "by the data", "by the batch"],
)
def test_where_a_warm_up_shrinks_to_one_iteration_the_second_has_the_full_rate(
    settings: SegmentationSettings,
) -> None:
    assert settings.warmup_iterations == 1
    found = rates(settings)
    assert found[:2] == pytest.approx([settings.learning_rate / 1000, settings.learning_rate])


def test_a_run_trains_at_the_rates_of_the_formula(
    rectangles: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "WINDOW", 1)  # a line for every iteration
    asked = {"iterations": 4, "warmup_iterations": 1, "schedule": "step", "decay_at": [3]}
    run_task(
        "segmentation",
        random_backbone("mixmask_resnet8", 0),
        rectangles,
        ResultStore(tmp_path / "results"),
        work=tmp_path / "work",
        overrides={**TIMM, **asked, "learning_rate": RATE},
    )
    found = [line["lr"] for line in losses(tmp_path / "work")]
    assert found == pytest.approx([RATE / 1000, RATE, RATE, RATE / 10])
