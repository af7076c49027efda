"""Precision: reduced where it was asked for, recorded, and refused where it cannot be had."""

from pathlib import Path
from typing import Any

import pytest
import torch
from running import run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import ResultStore
from mmbench.transfer.compute import Compute
from mmbench.transfer.inputs.features import FrozenNetwork

CPU = torch.device("cpu")


def test_the_backbone_runs_in_the_precision_asked_for(backbone: Backbone, gratings: Dataset) -> None:
    images = gratings.split("val").images[:5]
    seen: list[torch.dtype] = []
    found = {}
    for precision in ("float32", "bfloat16"):
        network = FrozenNetwork(backbone, Compute(CPU, precision))  # type: ignore[arg-type]
        network.network.get_submodule("layer2").register_forward_hook(
            lambda module, arguments, output: seen.append(output.dtype)
        )
        found[precision] = network(images[:, :, 2:18, 2:18])
        assert found[precision].dtype == torch.float32
    assert seen == [torch.float32, torch.bfloat16]
    error = (found["float32"] - found["bfloat16"]).abs().max() / found["float32"].abs().max()
    assert 0 < error < 0.05


def test_half_precision_on_a_cpu_is_refused() -> None:
    with pytest.raises(UserError, match="--precision float16 needs a GPU"):
        Compute(CPU, "float16")


@pytest.mark.parametrize(
    ("protocol", "overrides"),
    [
        ("finetune/patterns@1", {"epochs": 3, "batch_size": 40}),
        ("linear/moco@1", {"epochs": 8, "batch_size": 40, "learning_rate": 1.0}),
        ("knn/patterns@1", {}),
    ],
)
def test_precision_is_part_of_the_record(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, protocol: str, overrides: dict[str, Any]
) -> None:
    results = [
        run_task(
            *(protocol.partition("/")[0], backbone, gratings, ResultStore(tmp_path)),
            work=tmp_path / "work",
            protocol_id=protocol,
            overrides=overrides,
            device=CPU,
            precision=precision,  # type: ignore[arg-type]
        )
        for precision in ("float32", "bfloat16")
    ]
    assert "precision" not in results[0].config and results[1].config["precision"] == "bfloat16"
    assert len(list(tmp_path.rglob("*.json"))) == 2
    assert results[1].metrics["top1"].value == pytest.approx(results[0].metrics["top1"].value, abs=15)
    assert results[1].metrics["top1"].value > 25  # chance is 17


def test_workers_are_counted() -> None:
    assert Compute(CPU, workers=0).reading_workers == 0
    assert 1 <= Compute(CPU).reading_workers <= 8
