"""Suite: which arms are measured on which tasks and data, as a shipped name or a YAML file states it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from mmbench.settings_types import MOST_WORKERS, STRICT, Within

Workers = Literal["auto"] | Annotated[int, Within(1, MOST_WORKERS)]


class Pretraining(BaseModel):
    """How an arm of a suite is pretrained: settings of `mmbench pretrain`, all but the method optional.

    Attributes:
        data: what it learns from; None takes the first data set of the suite.
        settings: any other settings, by dotted name, such as {"optimiser.lr": 0.03}.
    """

    model_config = STRICT

    method: str
    scale: str | None = None
    arch: str | None = None
    epochs: int | None = None
    data: str | None = None
    settings: dict[str, Any] = {}


class Arm(BaseModel):
    """A row of the board: a pretraining, or weights that exist.

    Attributes:
        name: of the row; None takes the method or the name of the checkpoint.
        checkpoint: what `--checkpoint` of `mmbench transfer` names: a file, a run folder, "timm:NAME", or a
            control ("random", "random-high-pass", "pixels").
        arch: timm name, where the file does not state it; None takes the suite's.
        seeds: of this arm; None takes the suite's. Weights that exist and raw pixels have no seeds.
    """

    model_config = STRICT

    name: str | None = None
    pretrain: Pretraining | None = None
    checkpoint: str | None = None
    arch: str | None = None
    seeds: tuple[int, ...] | None = None


class SuiteTask(BaseModel):
    """A column of the board, or one for each data set.

    Attributes:
        protocol: id or path of a user's own file; None takes the task's on the data set.
        settings: in place of the protocol's.
        data: names of those of the suite's data sets that it is measured on; None means all that fit.
        seeds: how many of the arm's pretraining seeds are measured, or which; None means all.
        draws: label subsets (seeds of the transfer) for each pretraining seed; None takes the protocol's
            trials.
        arms: names of the arms that are measured; None means all that the task can take.
        without: names of arms that are left out.
    """

    model_config = STRICT

    task: str
    protocol: str | None = None
    settings: dict[str, Any] = {}
    data: tuple[str, ...] | None = None
    seeds: int | tuple[int, ...] | None = None
    draws: Annotated[int, Within(1, 100)] | None = None
    arms: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()


class Slurm(BaseModel):
    """How pilot jobs are asked for.

    Attributes:
        time: of a pilot job, HH:MM:SS.
        nodes: of a pilot job.
        jobs: pilot jobs at a time.
        workers_per_node: cells at a time on a node.
        options: further lines of `#SBATCH`, such as "--qos=low".
        prepare: shell lines that run before the workers start, such as "module load cuda".
    """

    model_config = STRICT

    partition: str | None = None
    account: str | None = None
    time: str = "01:00:00"
    nodes: Annotated[int, Within(1, 1024)] = 1
    jobs: Annotated[int, Within(1, 1024)] = 1
    workers_per_node: Annotated[int, Within(1, MOST_WORKERS)] = 1
    options: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()


class RunSettings(BaseModel):
    """Where and how the cells run; nothing here changes a number.

    Attributes:
        workers: cells at a time; "auto" means one per GPU, else one per core.
        threads: of a cell on the CPU.
        gpus_per_cell: GPUs that a cell is pinned to.
        executor: "local", "slurm", or the path of a Parsl configuration file (Python) of the user's own.
        retries: attempts after a worker or a node was lost.
    """

    model_config = STRICT

    workers: Workers = "auto"
    threads: Annotated[int, Within(1, 1024)] = 1
    gpus_per_cell: Annotated[int, Within(0, 64)] = 1
    executor: str = "local"
    slurm: Slurm = Slurm()
    retries: Annotated[int, Within(0, 100)] = 3


class Suite(BaseModel):
    """A whole benchmark.

    Attributes:
        data: names of data sets or paths of folders; the first is what arms learn from unless they say else.
        data_root: folder with one folder per data set; None means `data` in the suite's folder.
        arch: timm name of the backbone, for every arm that does not state its own.
        seeds: of the pretrainings, and of random weights.
        baseline: name of the arm that the board compares with.
    """

    model_config = STRICT

    name: str
    title: str = ""
    data: tuple[str, ...]
    data_root: Path | None = None
    arch: str | None = None
    arms: tuple[Arm, ...]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    tasks: tuple[SuiteTask | str, ...]
    baseline: str | None = None
    run: RunSettings = RunSettings()
