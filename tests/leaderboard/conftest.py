"""Synthetic records: a small board whose numbers the tests know."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmbench.checkpoints.card import HighPass, ModelCard, Preprocessing
from mmbench.environment import Provenance
from mmbench.records.store import DatasetReference, Metric, Result, ResultStore

PROVENANCE = Provenance(
    mmbench="0.1.0",
    git_sha="0123456789abcdef0123456789abcdef01234567",
    git_dirty=False,
    python="3.11.2",
    packages={
        "torch": "2.15.0",
        "timm": "1.0.31",
        "sal-detectron2": "0.7.2",
        "onedl-mmsegmentation": "1.4.0",
    },
    platform="Linux-6.1-x86_64",
    processor="A & B <Xeon> CPU @ 2.50GHz",
    cpu_count=2,
    threads=1,
    device="cpu",
)
CREATED = datetime.datetime(2026, 7, 1, 12, 0, tzinfo=datetime.UTC)
PROBES = {  # protocol: (task, metrics with the primary first, images, split sizes, config)
    "knn/patterns@1": ("knn", ("top1",), 2000, {"train": 4000}, {"neighbours": 20, "temperature": 0.1}),
    "linear/patterns@1": (
        "linear",
        ("top1", "top5"),
        2000,
        {"train": 4000, "val": 2000},
        {"weight_decays": [0.1]},
    ),
    "semisup/patterns-1pct@1": ("semisup", ("top1",), 2000, {"train": 40}, {"fraction": 0.01, "epochs": 60}),
    "semisup/patterns-10pct@1": ("semisup", ("top1",), 2000, {"train": 400}, {"fraction": 0.1, "epochs": 30}),
    "detection/patterns@1": ("detection", ("AP50", "AP", "AP75"), 150, {"train": 300}, {"iterations": 300}),
    "segmentation/patterns@1": ("segmentation", ("mIoU", "aAcc"), 150, {"train": 300}, {"iterations": 240}),
}
# arm: (epochs, pretraining seconds, mean per protocol in the order of PROBES)
ARMS: dict[str, tuple[int, float | None, tuple[float, ...]]] = {
    "pixels": (0, None, (38.0, 27.3)),
    "random": (0, None, (48.8, 56.7, 24.0, 43.1, 31.0, 30.2)),
    "moco": (8, 36.0, (61.3, 70.9, 35.1, 56.3, 38.8, 33.9)),
    "erase": (8, 56.0, (59.9, 71.5, 34.8, 57.5, 38.1, 34.2)),
    "mscn": (8, 40.0, (58.2, 69.0, 33.0, 54.9, 37.7, 33.0)),
    "mixmask": (8, 63.0, (64.6, 73.4, 37.2, 60.0, 39.5, 34.6)),
}


def card(arm: str, seed: int, changes: dict[str, Any]) -> ModelCard:
    """Return the card of a synthetic arm."""
    epochs, seconds, _ = ARMS[arm]
    control = epochs == 0
    facts: dict[str, Any] = {
        "arm": arm,
        "arch": "pixels" if arm == "pixels" else "mixmask_resnet8",
        "method": arm,
        "framework": None if control else "moco",
        "masking": None if control else {"moco": "none"}.get(arm, arm),
        "pretrain_data": None if control else "patterns",
        "epochs": epochs,
        "seed": None if arm == "pixels" else seed,
        "pretrain_seconds": None if seconds is None else seconds + seed,
        "preprocessing": Preprocessing(
            image_size=32, high_pass=HighPass(kernel_size=3, sigma=0.7) if arm == "mscn" else None
        ),
        "source_format": arm if control else "run",
        "source_sha256": None if control else hashlib.sha256(f"{arm} {seed}".encode()).hexdigest(),
    }
    return ModelCard(**{**facts, **changes})


def make_result(
    arm: str,
    protocol: str = "linear/patterns@1",
    seed: int = 0,
    value: float | None = None,
    *,
    transfer_seed: int | None = None,
    card_changes: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:
    """Return one record; `value` is the primary metric, other metrics follow it."""
    task, metrics, images, sizes, config = PROBES[protocol.split("@")[0] + "@1"]
    value = ARMS[arm][2][list(PROBES).index(protocol.split("@")[0] + "@1")] if value is None else value
    facts: dict[str, Any] = {
        "created": CREATED + datetime.timedelta(minutes=seed),
        "model": card(arm, seed, card_changes or {}),
        "task": task,
        "dataset": DatasetReference(name="patterns", fingerprint="ab" * 32, split_sizes=sizes),
        "protocol": protocol,
        "metrics": {
            name: Metric(value=value - 5 * place, higher_is_better=True, n=images)
            for place, name in enumerate(metrics)
        },
        "primary_metric": metrics[0],
        "seed": seed if transfer_seed is None else transfer_seed,
        "config": config,
        "effective_lr": 0.05 if task in ("detection", "segmentation") else None,
        "provenance": PROVENANCE,
        "wall_seconds": 12.5,
        "images_per_second": 800.0,
        "notes": ("BN statistics recalibrated on train",) if arm == "random" else (),
    }
    return Result(**{**facts, **changes})


def write_board_records(root: Path, *, seeds: int = 2, subsets: int = 3) -> Path:
    """Write the records of a whole synthetic demo; the 1% probe has `subsets` runs per pretraining."""
    store, noise = ResultStore(root), np.random.default_rng(0)
    for arm, (_, _, means) in ARMS.items():
        for place, protocol in enumerate(PROBES):
            if place >= len(means):
                continue
            for seed in range(1 if arm == "pixels" else seeds):
                for subset in range(subsets if "1pct" in protocol else 1):
                    value = means[place] + (0 if arm == "pixels" else noise.normal(0, 0.9))
                    transfer_seed = seed * subsets + subset if "1pct" in protocol else seed
                    store.write(make_result(arm, protocol, seed, float(value), transfer_seed=transfer_seed))
    return root


@pytest.fixture
def record() -> Callable[..., Result]:
    """Return `make_result`."""
    return make_result


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes records into a results folder and returns the folder."""

    def write_records(*results: Result) -> Path:
        store = ResultStore(tmp_path / "results")
        for result in results:
            store.write(result)
        return store.root

    return write_records


@pytest.fixture(scope="session")
def board_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results folder of a whole synthetic demo: 6 arms, 6 columns, 2 pretraining seeds."""
    return write_board_records(tmp_path_factory.mktemp("records"))
