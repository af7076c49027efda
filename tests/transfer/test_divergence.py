"""A training that diverges in its last step leaves no record: the loss, taken before the step, was fine."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from running import run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import Metric, ResultStore
from mmbench.tasks import TASKS
from mmbench.transfer.controls import pixels_backbone

ONE_STEP = {"epochs": 1, "batch_size": 120}
HUGE = 1e38


def records(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*.json") if ".unfinished" not in path.parts]


@pytest.mark.parametrize(
    ("task", "protocol", "overrides", "advice"),
    [
        (
            "linear",
            "linear/moco@1",
            {**ONE_STEP, "learning_rate": HUGE, "decay_epochs": []},
            "learning_rate=1e+37",
        ),
        (
            "linear",
            "linear/sweep@1",
            {**ONE_STEP, "learning_rates": [HUGE], "batch_norm": [False]},
            "learning_rates=[",
        ),
        (
            "finetune",
            "finetune/patterns@1",
            {**ONE_STEP, "backbone_learning_rate": HUGE, "head_learning_rate": HUGE},
            "backbone_learning_rate=",
        ),
        (
            "semisup",
            "semisup/patterns-10pct@1",
            {**ONE_STEP, "backbone_learning_rate": HUGE, "head_learning_rate": HUGE},
            "head_learning_rate=",
        ),
    ],
)
def test_the_last_step_counts(
    backbone: Backbone,
    gratings: Dataset,
    tmp_path: Path,
    task: str,
    protocol: str,
    overrides: dict[str, Any],
    advice: str,
) -> None:
    """One step in all, so that no later loss can tell."""
    if task == "linear":  # raw pixels are larger than the features of random weights
        backbone = pixels_backbone(gratings.image_size)
    store = ResultStore(tmp_path / "results")
    with pytest.raises(UserError, match=r"diverged|not finite") as caught:
        run_task(task, backbone, gratings, store, work=tmp_path, protocol_id=protocol, overrides=overrides)
    assert advice in str(caught.value) and "\n" not in str(caught.value)
    assert records(tmp_path / "results") == []


@pytest.mark.parametrize("task", ["knn", "linear", "logreg", "lowshot"])
@pytest.mark.parametrize("damage", [lambda t: t.fill_(torch.nan), lambda t: t.view(-1)[0].fill_(torch.inf)])
def test_features_that_are_not_finite_leave_no_record(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, task: str, damage: Callable[[torch.Tensor], None]
) -> None:
    damage(backbone.state_dict["conv1.weight"])
    store = ResultStore(tmp_path / "results")
    overrides = {"shots": [1], "draws": 1} if task == "lowshot" else {}
    with pytest.raises(UserError, match="features that are not finite; its weights are damaged"):
        run_task(task, backbone, gratings, store, work=tmp_path, overrides=overrides)
    assert records(tmp_path / "results") == []


@pytest.mark.parametrize(
    ("task", "overrides", "advice"),
    [
        ("knn", {}, "check the weights and the data"),
        (
            "finetune",
            {"epochs": 1},
            "lower backbone_learning_rate and head_learning_rate by --set",
        ),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, 101.0])
def test_a_metric_that_no_record_can_hold_is_one_line(
    backbone: Backbone,
    gratings: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    overrides: dict[str, Any],
    advice: str,
    value: float,
) -> None:
    """Whatever a task computes, what is not a number from 0 to 100 ends the run."""

    def wrong(*arguments: Any, **named: Any) -> dict[str, Metric]:
        return {"top1": Metric(value=value, higher_is_better=True, n=60)}

    monkeypatch.setattr("mmbench.transfer.outcomes.classification_metrics", wrong)
    store = ResultStore(tmp_path / "results")
    with pytest.raises(UserError, match="gave a result that is not recorded") as caught:
        run_task(task, backbone, gratings, store, work=tmp_path, overrides=overrides)
    assert advice in str(caught.value) and "\n" not in str(caught.value)
    assert records(tmp_path / "results") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"per_class": {"first": math.nan}},
        {"effective_lr": math.inf},
        {"images_seen": math.nan},
        {"split_sizes": {"train": -1}},
        {"metrics": {}},
        {"metrics": {"top1": Metric.model_construct(value=math.nan, higher_is_better=True, n=60)}},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_whatever_a_task_returns_is_checked_before_it_is_written(
    backbone: Backbone,
    gratings: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    """The frame is the same for every task."""
    entry = TASKS.get("knn")

    def measure(job: Any, settings: Any) -> Any:
        return replace(entry.measure(job, settings), **changes)

    monkeypatch.setitem(TASKS._entries, "knn", replace(entry, measure=measure))
    store = ResultStore(tmp_path / "results")
    with pytest.raises(UserError, match="recorded") as caught:
        run_task("knn", backbone, gratings, store, work=tmp_path)
    assert "\n" not in str(caught.value)
    assert records(tmp_path / "results") == []


@pytest.mark.parametrize("protocol", ["knn/instdisc@2", "knn/grid@2"])
def test_votes_that_overflow_are_refused(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """exp(80) times the number of neighbours fits into float32 for few of them only."""
    monkeypatch.setattr(torch.Tensor, "exp", lambda self: torch.full_like(self, 3e38))
    one = {"neighbours": 50, "temperature": 0.0125}
    several = {"neighbours": [40, 50], "temperatures": [0.0125]}
    with pytest.raises(UserError, match=r"votes overflow; give .*larger temperature.* by --set"):
        run_task(
            "knn",
            backbone,
            gratings,
            ResultStore(tmp_path / "results"),
            work=tmp_path,
            protocol_id=protocol,
            overrides=several if "grid" in protocol else one,
        )
    assert records(tmp_path / "results") == []
