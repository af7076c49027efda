"""What two processes measure together, run as a script under torchrun; test_two_probes.py compares.

python -m torch.distributed.run --nproc-per-node 2 two_probes.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import torch
from running import run_task

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, load_dataset
from mmbench.distributed import join_processes, process_count, process_rank
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.inputs import images as image_inputs
from mmbench.transfer.inputs.feature_bank import FeatureBank

CPU = torch.device("cpu")
# Odd sizes: 90 training images, batches that two processes cannot share evenly.
RUNS: dict[str, dict[str, Any]] = {
    "linear/moco@1": {"epochs": 2, "batch_size": 45, "learning_rate": 1.0},
    "linear/moco-sweep@1": {"epochs": 2, "batch_size": 45, "learning_rates": [0.1, 1.0]},
    "linear/sweep@1": {"epochs": 5, "batch_size": 45, "learning_rates": [0.1, 1.0]},
    "linear/patterns@1": {"weight_decays": [0.1]},
    "knn/grid@1": {"neighbours": [3, 9], "temperatures": [0.1]},
    "logreg/lbfgs@1": {"candidates": 3},
    "lowshot/k@1": {"shots": [1, 4], "draws": 2},
    "finetune/patterns@1": {"epochs": 2, "batch_size": 30, "backbone_learning_rate": 0.01},
    "semisup/patterns-10pct@1": {"epochs": 3, "batch_size": 4, "fraction": 0.2},
}
# Of files are measured those that read images while they train, and one of those that share the features.
KINDS: dict[str, tuple[str, ...]] = {
    "memory": tuple(RUNS),
    "files": (
        "linear/moco@1",
        "linear/moco-sweep@1",
        "knn/grid@1",
        "finetune/patterns@1",
        "semisup/patterns-10pct@1",
    ),
}


def measure(folder: Path, dataset: Dataset, kind: str) -> dict[str, Result]:
    """Return a record for each protocol."""
    backbone = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=16))
    bank = FeatureBank(folder / "features")
    return {
        protocol: run_task(
            protocol.partition("/")[0],
            backbone,
            dataset,
            ResultStore(folder / "results"),
            work=folder / "work",
            protocol_id=protocol,
            overrides=overrides,
            device=CPU,
            bank=bank,
            workers=1,
        )
        for protocol, overrides in RUNS.items()
        if protocol in KINDS[kind]
    }


def main(folder: Path) -> None:
    """Measure twice: images in memory, and read from files."""
    torch.set_num_threads(1)
    join_processes(CPU)
    dataset = load_dataset(str(folder / "images"))
    found = {"memory": measure(folder / "memory", dataset, "memory")}
    image_inputs.LARGEST_IN_MEMORY = 8
    found["files"] = measure(folder / "files", dataset, "files")
    for kind, results in found.items():
        path = folder / f"{kind}-{process_rank()}.txt"
        path.write_text("\n".join(result.model_dump_json() for result in results.values()))
    try:
        backbone = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=16))
        uneven = {"epochs": 1, "batch_size": 45}
        run_task(
            *("finetune", backbone, dataset, ResultStore(folder / "uneven")),
            work=folder / "work",
            overrides=uneven,
            device=CPU,
        )
    except UserError as error:
        (folder / f"error-{process_rank()}.txt").write_text(str(error))
    assert process_count() == 2


if __name__ == "__main__":
    main(Path(sys.argv[1]))
