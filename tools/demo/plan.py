"""What the demo runs: cells (the data, one pretraining or one transfer each) and their dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ARCH = "mixmask_resnet8"
ARMS = ("mixmask", "moco", "erase", "mscn")
# MSCN-style weights are fed filtered images, so their control is too.
FILTERED_ARM, FILTERED_CONTROL = "mscn", "random-high-pass"
DATA = "patterns"


@dataclass(frozen=True)
class Probe:
    """One column of the demo's board.

    Attributes:
        protocol: the protocol's id.
        seconds: rough cost on one core, for the order of the cells and the first estimate of the time left.
        label_subsets: number of label subsets (or seeds of the head) per pretraining seed.
        controls: controls measured beside the arms; the filtered one only beside the filtered arm.
        optional: slow, so measured only if its task is named.
    """

    task: str
    protocol: str
    seconds: float
    label_subsets: int = 1
    controls: tuple[str, ...] = ("random", FILTERED_CONTROL)
    optional: bool = False


PROBES = (
    Probe("knn", "knn/patterns@2", 3, controls=("random", FILTERED_CONTROL, "pixels")),
    Probe("linear", "linear/patterns@2", 4, controls=("random", FILTERED_CONTROL, "pixels")),
    Probe("semisup", "semisup/patterns-1pct@2", 5, label_subsets=3),
    Probe("semisup", "semisup/patterns-10pct@2", 12),
    Probe("logreg", "logreg/lbfgs@2", 40, optional=True),
    Probe("lowshot", "lowshot/k@2", 10, optional=True),
    Probe("finetune", "finetune/patterns@2", 35, optional=True),
    Probe("detection", "detection/patterns@2", 8, controls=("random",)),
    Probe("dense", "dense/patterns@1", 7),
    Probe("segmentation", "segmentation/patterns@1", 19, controls=("random",), optional=True),
)

# Seconds of pretraining per epoch on one core: MixMask sees each query twice.
EPOCH_SECONDS = {"mixmask": 7.0, "moco": 4.5, "erase": 7.0, "mscn": 5.0}


@dataclass(frozen=True)
class Cell:
    """One piece of work for one worker.

    Attributes:
        name: unique and stable; the demo's state file lists finished cells by it.
        kind: what is done.
        after: names of the cells that must be finished first.
        seconds: rough cost on one core.
        arm: method or control; empty for the data cell.
        pretraining_seed: seed of the weights.
        task, protocol: of a transfer.
        transfer_seed: seed of the task and of its label subset.
    """

    name: str
    kind: Literal["data", "pretrain", "transfer"]
    seconds: float
    after: tuple[str, ...] = ()
    arm: str = ""
    pretraining_seed: int = 0
    task: str = ""
    protocol: str = ""
    transfer_seed: int = 0


def pretrain_name(arm: str, seed: int) -> str:
    """Return the name of the cell that pretrains `arm` with `seed`; its run folder has the same name."""
    return f"{arm}-seed{seed}"


def plan(
    arms: tuple[str, ...], tasks: tuple[str, ...] | None, seeds: tuple[int, ...], epochs: int
) -> list[Cell]:
    """Return the demo's cells: data first, then every arm and control on every probe.

    Args:
        arms: pretraining methods; the controls are always measured.
        tasks: names of the tasks to run; None means all that are not optional.
        seeds: pretraining seeds.
        epochs: pretraining epochs, for the estimate of the time.
    """
    cells = [Cell(f"data {DATA}", "data", 25)]
    probes = [probe for probe in PROBES if (not probe.optional if tasks is None else probe.task in tasks)]
    for seed in seeds:
        for arm in arms:
            cells.append(
                Cell(
                    pretrain_name(arm, seed),
                    "pretrain",
                    EPOCH_SECONDS.get(arm, 6.0) * epochs,
                    after=(cells[0].name,),
                    arm=arm,
                    pretraining_seed=seed,
                )
            )
    for probe in probes:
        for position, seed in enumerate(seeds):
            for arm in (*arms, *probe.controls):
                if arm == "pixels" and position > 0:
                    continue  # pixels have no weights, so no seed
                if arm == FILTERED_CONTROL and FILTERED_ARM not in arms:
                    continue
                waits_for = pretrain_name(arm, seed) if arm in arms else cells[0].name
                for draw in range(probe.label_subsets):
                    # All arms share label subsets; different pretraining seeds have different ones.
                    transfer_seed = position * probe.label_subsets + draw
                    cells.append(
                        Cell(
                            f"{arm}-seed{seed} {probe.protocol} seed{transfer_seed}",
                            "transfer",
                            probe.seconds,
                            after=(waits_for,),
                            arm=arm,
                            pretraining_seed=seed,
                            task=probe.task,
                            protocol=probe.protocol,
                            transfer_seed=transfer_seed,
                        )
                    )
    return cells
