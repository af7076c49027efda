"""Every classification task on a GPU: what a CPU measures with the same seeds, to a few test images."""

from pathlib import Path
from typing import Any

import pytest
import torch
from running import run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.inputs.feature_bank import FeatureBank

pytestmark = pytest.mark.gpu

RUNS: dict[str, dict[str, Any]] = {
    "knn/patterns@1": {},
    "knn/grid@1": {"neighbours": [5, 20], "temperatures": [0.1]},
    "linear/patterns@1": {},
    "linear/sweep@1": {"epochs": 10, "batch_size": 40},
    "linear/moco@1": {"epochs": 8, "batch_size": 40, "learning_rate": 1.0, "decay_epochs": [6]},
    "linear/moco-sweep@1": {"epochs": 4, "batch_size": 40, "learning_rates": [0.1, 1.0]},
    "logreg/lbfgs@1": {"candidates": 6},
    "logreg/lbfgs@4": {"candidates": 6},
    "lowshot/k@1": {"shots": [1, 4], "draws": 2},
    "semisup/patterns-10pct@1": {"epochs": 4, "batch_size": 6},
    "finetune/patterns@1": {"epochs": 4, "batch_size": 40},
}


def run(
    protocol: str, backbone: Backbone, dataset: Dataset, folder: Path, device: str, **more: Any
) -> Result:
    return run_task(
        *(protocol.partition("/")[0], backbone, dataset, ResultStore(folder / device)),
        work=folder / "work",
        protocol_id=protocol,
        overrides=RUNS[protocol],
        device=torch.device(device),
        bank=FeatureBank(folder / "bank"),
        **more,
    )


@pytest.mark.parametrize("protocol", RUNS)
def test_a_gpu_measures_what_a_cpu_does(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, protocol: str
) -> None:
    expected = run(protocol, backbone, gratings, tmp_path, "cpu")
    found = run(protocol, backbone, gratings, tmp_path, "cuda")
    # 3 of 60 test images; training lets differences of the last digit grow.
    tolerance = 5.0 if protocol.startswith(("knn", "linear/patterns", "logreg", "lowshot")) else 15.0
    assert found.metrics["top1"].value == pytest.approx(expected.metrics["top1"].value, abs=tolerance)
    assert found.dataset == expected.dataset and found.labels == expected.labels
    assert found.provenance.device != expected.provenance.device == "cpu"


@pytest.mark.parametrize("protocol", ["knn/patterns@1", "linear/moco@1", "finetune/patterns@1"])
def test_half_precision_is_close(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, protocol: str
) -> None:
    whole = run(protocol, backbone, gratings, tmp_path, "cuda")
    half = run(protocol, backbone, gratings, tmp_path, "cuda", precision="float16")
    assert half.config["precision"] == "float16"
    assert half.metrics["top1"].value == pytest.approx(whole.metrics["top1"].value, abs=15)
