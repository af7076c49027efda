"""Detection as scripts run it; test_detection_processes.py compares.

python -m torch.distributed.run --nproc-per-node 2 two_detectors.py FOLDER
python two_detectors.py command FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import small_detectors as small
import torch
from running import run_task

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import DATASETS, Dataset
from mmbench.distributed import join_processes, process_count, process_rank
from mmbench.errors import UserError
from mmbench.results import Result, ResultStore
from mmbench.transfer import resume
from mmbench.transfer.dense.common import history

ITERATIONS = 12  # of the command
CPU = torch.device("cpu")
# Everything is taken and nothing sampled: all anchors, all proposals, and as many of them for each image.
# SGD, since AdamW's first steps turn the sign of a vanishing gradient into a step; a low rate, since networks
# at random with batch norm over four images amplify the rounding of each step.
WHOLE: dict[str, Any] = {
    "iterations": 5,
    "optimizer": "sgd",
    "learning_rate": 0.0005,
    "batch_size": 4,
    "rpn_batch": 2100,
    "roi_batch": 1000,
    "roi_positive_share": 1.0,
    "train_proposals": [60, 4],
    "test_proposals": [60, 4],
}
RUNS = {"c4": small.C4 | WHOLE, "fpn": small.FPN | WHOLE}


def measure(folder: Path, dataset: Dataset) -> dict[str, Result]:
    """Return a record for each detector; every iteration is a line of metrics.json."""
    history.WINDOW = 1
    return {
        kind: run_task(
            "detection",
            random_backbone(small.ARCHS[kind], 0),
            dataset,
            ResultStore(folder / "results"),
            work=folder / kind,
            overrides=overrides,
            workers=1,
        )
        for kind, overrides in RUNS.items()
    }


def together(folder: Path) -> None:
    """Measure in processes that work together."""
    torch.set_num_threads(1)
    join_processes(CPU)
    dataset = small.boxes_at(folder / "boxes")
    found = measure(folder / "together", dataset)
    lines = [result.model_dump_json() for result in found.values()]
    (folder / f"records-{process_rank()}.txt").write_text("\n".join(lines))
    try:
        run_task(
            *("detection", random_backbone("mixmask_resnet8", 0), dataset, ResultStore(folder / "uneven")),
            work=folder / "uneven",
            overrides={**small.PYRAMID, "iterations": 1, "batch_size": 3},
        )
    except UserError as error:
        (folder / f"error-{process_rank()}.txt").write_text(str(error))
    assert process_count() == 2


def command(folder: Path) -> None:
    """Run `mmbench transfer` on the boxes in a folder, saving its state after every iteration."""
    from mmbench.cli import main

    DATASETS.register("boxes")(lambda root: small.boxes_at(folder / "boxes"))
    resume.SAVE_EVERY_SECONDS = 0.0
    history.WINDOW = 1
    settings = {**small.PYRAMID, "iterations": ITERATIONS}
    given = [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]
    main(
        [
            *("transfer", "--task", "detection", "--checkpoint", "random", "--arch", "mixmask_resnet8"),
            *(
                "--protocol",
                "detection/patterns@1",
                "--data",
                "boxes",
                "--out",
                str(folder / "results"),
                "--work",
                str(folder / "work"),
            ),
            *("--threads", "1", "--workers", "1", *given),
        ]
    )


if __name__ == "__main__":
    if sys.argv[1] == "command":
        command(Path(sys.argv[2]))
    else:
        together(Path(sys.argv[1]))
