"""Segmentation as scripts run it; test_segmentation_processes.py and test_segmentation_killed.py compare.

python -m torch.distributed.run --nproc-per-node 2 two_segmentors.py FOLDER
python two_segmentors.py command FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import small_segmentors as small
import torch
from running import run_task

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import DATASETS, Dataset
from mmbench.distributed import join_processes, process_count, process_rank
from mmbench.errors import UserError
from mmbench.results import Result, ResultStore
from mmbench.transfer import resume
from mmbench.transfer.dense.common import history
from mmbench.transfer.dense.common.pixel_outcomes import PixelOutcomes

ITERATIONS = 12  # of the command
CPU = torch.device("cpu")
# Without dropout, whose draws differ between processes; a low rate, since networks at random with batch norm
# over four images amplify the rounding of each step.
TOGETHER: dict[str, Any] = {"iterations": 5, "batch_size": 4, "dropout": 0, "learning_rate": 0.001}


def measure(folder: Path, dataset: Dataset) -> dict[str, Result]:
    """Return a record for each network; every iteration is a line of metrics.json."""
    history.WINDOW = 1
    return {
        kind: run_task(
            "segmentation",
            random_backbone(arch, 0),
            dataset,
            ResultStore(folder / "results"),
            work=folder / kind,
            overrides=overrides | TOGETHER,
            workers=1,
        )
        for kind, (arch, overrides) in small.SEGMENTORS.items()
    }


def together(folder: Path) -> None:
    """Measure in processes that work together."""
    torch.set_num_threads(1)
    join_processes(CPU)
    dataset = small.scenes_at(folder / "scenes")
    found = measure(folder / "together", dataset)
    lines = [result.model_dump_json() for result in found.values()]
    (folder / f"records-{process_rank()}.txt").write_text("\n".join(lines))
    try:
        run_task(
            *("segmentation", random_backbone("mixmask_resnet8", 0), dataset, ResultStore(folder / "uneven")),
            work=folder / "uneven",
            overrides={**small.TIMM, "iterations": 1, "batch_size": 3},
        )
    except UserError as error:
        (folder / f"error-{process_rank()}.txt").write_text(str(error))
    assert process_count() == 2


def command(folder: Path) -> None:
    """Run `mmbench transfer` on the scenes in a folder, saving its state after every iteration."""
    from mmbench.cli import main

    DATASETS.register("rectangles")(lambda root: small.scenes_at(folder / "scenes"))
    resume.SAVE_EVERY_SECONDS = 0.0
    history.WINDOW = 1
    predictions = small.Predictions()
    PixelOutcomes.add = predictions.function()
    settings = {**small.TIMM, "iterations": ITERATIONS}
    given = [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]
    places = ("--out", str(folder / "results"), "--work", str(folder / "work"))
    weights = ("--checkpoint", "random", "--arch", "mixmask_resnet8")
    try:
        main(
            [
                *("transfer", "--task", "segmentation", *weights, "--data", "rectangles", *places),
                *("--protocol", "segmentation/patterns@1", "--threads", "1", "--workers", "1", *given),
            ]
        )
    finally:
        np.savez(folder / "predictions.npz", **predictions.taken())


if __name__ == "__main__":
    if sys.argv[1] == "command":
        command(Path(sys.argv[2]))
    else:
        together(Path(sys.argv[1]))
