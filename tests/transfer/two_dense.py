"""What two processes measure together with dense probes, run as a script under torchrun.

python -m torch.distributed.run --nproc-per-node 2 two_dense.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import torch
from running import run_task
from small_scenes import CLASSES, SIZE

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, Scenes
from mmbench.distributed import join_processes, process_rank
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.inputs.feature_bank import FeatureBank

CPU = torch.device("cpu")
# Five evaluated images, so that the processes have different shares; dropout would differ, as it is drawn.
RUNS: dict[str, dict[str, Any]] = {
    "dense/patterns@1": {"epochs": 3, "batch_size": 4},
    "dense/own@1": {"epochs": 2, "batch_size": 4, "crop": 24, "test_size": 32},
}


def measure(folder: Path, root: Path) -> list[Result]:
    """Return a record for each protocol."""
    dataset = Dataset("outlined", root, CLASSES, {}, SIZE, Scenes(root, CLASSES))
    backbone = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=SIZE))
    bank = FeatureBank(folder / "features")
    return [
        run_task(
            *("dense", backbone, dataset, ResultStore(folder / "results")),
            work=folder / "work",
            protocol_id=protocol,
            overrides=overrides,
            device=CPU,
            bank=bank,
            workers=0,
        )
        for protocol, overrides in RUNS.items()
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    join_processes(CPU)
    given = Path(sys.argv[1])
    found = measure(given / "together", given / "scenes")
    path = given / f"records-{process_rank()}.txt"
    path.write_text("\n".join(result.model_dump_json() for result in found))
