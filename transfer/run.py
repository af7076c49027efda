"""`transfer`: from what the user names (a checkpoint, a task, a data set) to result records."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, load_dataset
from mmbench.device import resolve_device
from mmbench.errors import UserError
from mmbench.results import Result, ResultStore
from mmbench.transfer.bank import FeatureBank
from mmbench.transfer.control import (
    CONTROLS,
    RANDOM_CONTROLS,
    pixels_backbone,
    recalibrated_random_backbone,
)
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.task import TASKS, plan_task, run_task

__all__ = ["CONTROLS", "Outcome", "load_backbone", "transfer"]


@dataclass(frozen=True)
class Outcome:
    """One seed's record, where it is, and whether it was there before."""

    result: Result
    path: Path
    reused: bool


def load_backbone(spec: str, arch: str | None, dataset: Dataset, seed: int) -> Backbone:
    """Return the backbone that `spec` names.

    Args:
        spec: path of a checkpoint or run folder, or a control: "random", "random-high-pass" or "pixels".
        arch: timm name; needed for random weights, otherwise a check or a help for files that do not tell.
        dataset: the controls take their image size, and random weights their batch-norm statistics, from it.
        seed: seed of random weights.

    Raises:
        UserError: no such file, no architecture for random weights, or weights that do not fit.
    """
    if spec == "pixels":
        return pixels_backbone(dataset.image_size)
    if spec in RANDOM_CONTROLS:
        if arch is None:
            raise UserError(
                "random weights need an architecture; add --arch, such as --arch mixmask_resnet18"
            )
        return recalibrated_random_backbone(arch, seed, dataset, high_pass=spec == "random-high-pass")
    from mmbench.checkpoints.reading import read_backbone

    return read_backbone(spec, arch)


def transfer(
    task: str,
    checkpoint: str,
    data: str,
    *,
    data_root: Path = Path("data"),
    arch: str | None = None,
    protocol: str | None = None,
    seeds: Sequence[int] = (0,),
    out: Path = Path("results"),
    device: str = "auto",
    work: Path | None = None,
    bank: FeatureBank | None = None,
    overrides: dict[str, Any] | None = None,
    report: Callable[[int, int, str], None] | None = None,
) -> list[Outcome]:
    """Measure one task for every seed; records that are there already are reused.

    Args:
        checkpoint, arch: see `load_backbone`. With random weights, `seeds` are those of the weights too.
        protocol: id; the task's own default where it is None.
        out: folder of the records.
        bank: keeps frozen features between calls; None computes them anew.
        work: keeps the logs of detection and segmentation, one folder per seed; None throws them away.

    Raises:
        UserError: anything that the user can mend; nothing half-written is left in `out`.
    """
    TASKS.get(task)  # a mistyped name is told before anything is loaded
    if protocol is not None:
        get_protocol(protocol)
    chosen = resolve_device(device)
    dataset = load_dataset(data, data_root)
    store = ResultStore(out)
    outcomes = []
    backbone = None
    for seed in seeds:
        if backbone is None or checkpoint in RANDOM_CONTROLS:
            backbone = load_backbone(checkpoint, arch, dataset, seed)
        plan = plan_task(task, backbone, dataset, store, protocol_id=protocol, seed=seed, overrides=overrides)
        reused = plan.path.exists()
        with tempfile.TemporaryDirectory(prefix="mmbench-") as temporary:
            result = run_task(
                task,
                backbone,
                dataset,
                store,
                work=(work or Path(temporary)) / f"{plan.path.stem}",
                protocol_id=protocol,
                seed=seed,
                device=chosen,
                overrides=overrides,
                report=report,
                bank=bank,
            )
        outcomes.append(Outcome(result, plan.path, reused))
    return outcomes
