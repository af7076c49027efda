"""Suite: which arms are measured on which tasks and data, as a shipped name or a YAML file states it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mmbench.data.names import is_path
from mmbench.home import at_home
from mmbench.settings.types import MOST_WORKERS, STRICT, Epochs, Flag, Seed, Text, Within

MOST = 1000  # arms, tasks, data sets or seeds of a suite
MOST_DRAWS = 100
SLURM_TIME = "^([0-9]{1,3}-)?[0-9]{1,3}(:[0-5][0-9]){1,2}$"

Seeds = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=MOST)]
Texts = Annotated[tuple[Text, ...], Field(max_length=MOST)]
SomeTexts = Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST)]
SlurmOptions = Annotated[tuple[Annotated[Text, Field(pattern="^-")], ...], Field(max_length=MOST)]


HomeText = Annotated[Text, AfterValidator(at_home)]


def _as_path(data: str) -> str:
    """Return a data set as it is named, or "./NAME" of a folder here, so that it is a path everywhere."""
    data = at_home(data)
    return f"./{data}" if "/" not in data and is_path(data) else data


Data = Annotated[Text, AfterValidator(_as_path)]
SomeData = Annotated[tuple[Data, ...], Field(min_length=1, max_length=MOST)]


def _either(words: str, *kinds: Any) -> Callable[[Any], Any]:
    """Return a validator that takes any of several kinds of values and says in words what they are."""
    adapters = [TypeAdapter(kind) for kind in kinds]

    def check(value: Any) -> Any:
        for adapter in adapters:
            try:
                return adapter.validate_python(value)
            except ValidationError:
                continue
        raise PydanticCustomError("kind", "must be {words}", {"words": words})

    return check


Workers = Annotated[
    Literal["auto"] | int,
    BeforeValidator(
        _either(
            f"auto or a whole number from 1 to {MOST_WORKERS}",
            Literal["auto"],
            Annotated[int, Within(1, MOST_WORKERS)],
        )
    ),
]
SomeSeeds = Annotated[
    int | tuple[int, ...] | None,
    BeforeValidator(
        _either(
            f"how many of the seeds, from 1 to {MOST}, or a list of seeds",
            None,
            Annotated[int, Within(1, MOST)],
            Seeds,
        )
    ),
]


class Pretraining(BaseModel):
    """How an arm of a suite is pretrained: settings of `mmbench pretrain`, all but the method optional.

    Attributes:
        data: what it learns from; None takes the first data set of the suite.
        settings: any other settings, by dotted name, such as {"optimiser.lr": 0.03}.
    """

    model_config = STRICT

    method: Text
    scale: Text | None = None
    arch: Text | None = None
    epochs: Epochs | None = None
    data: Data | None = None
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

    name: Text | None = None
    pretrain: Pretraining | None = None
    checkpoint: HomeText | None = None
    arch: Text | None = None
    seeds: Seeds | None = None


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
        optional: measured only where the task is asked for by name, as `mmbench demo --task` does.
    """

    model_config = STRICT

    task: Text
    protocol: HomeText | None = None
    settings: dict[str, Any] = {}
    data: SomeData | None = None
    seeds: SomeSeeds = None
    draws: Annotated[int, Within(1, MOST_DRAWS)] | None = None
    arms: SomeTexts | None = None
    without: Texts = ()
    optional: Flag = False


class Slurm(BaseModel):
    """How pilot jobs are asked for.

    Attributes:
        time: of a pilot job, HH:MM:SS or D-HH:MM:SS.
        nodes: of a pilot job.
        jobs: pilot jobs at a time.
        workers_per_node: cells at a time on a node.
        options: further lines of `#SBATCH`, such as "--qos=low".
        prepare: shell lines that run before the workers start, such as "module load cuda".
    """

    model_config = STRICT

    partition: Text | None = None
    account: Text | None = None
    time: Annotated[Text, Field(pattern=SLURM_TIME)] = "01:00:00"
    nodes: Annotated[int, Within(1, 1024)] = 1
    jobs: Annotated[int, Within(1, 1024)] = 1
    workers_per_node: Annotated[int, Within(1, MOST_WORKERS)] = 1
    options: SlurmOptions = ()
    prepare: Texts = ()


class Launch(BaseModel):
    """How each pretraining is spread over processes, as `torchrun` starts them: one per GPU.

    With several nodes, which takes Slurm, each pretraining is a job of its own.

    Attributes:
        time: of that job; None takes the pilot jobs'.
        options: further lines of `#SBATCH` of that job; None takes the pilot jobs'.
    """

    model_config = STRICT

    nodes: Annotated[int, Within(1, 1024)] = 1
    processes_per_node: Annotated[int, Within(1, 64)] = 1
    time: Annotated[Text, Field(pattern=SLURM_TIME)] | None = None
    options: SlurmOptions | None = None

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.nodes * self.processes_per_node


class RunSettings(BaseModel):
    """Where and how the cells run; only the number of processes of a pretraining changes numbers.

    Attributes:
        workers: cells at a time; "auto" means one per GPU, else one per core.
        threads: of a cell on the CPU.
        gpus_per_cell: GPUs that a cell is pinned to; only pretrainings with `pretraining` use several.
        executor: "local", "slurm", or the path of a Parsl configuration file (*.py) of the user's own. It is
            "slurm" where a section `slurm` is stated and no executor is.
        pretraining: over how many processes and nodes each pretraining is spread.
        retries: attempts after a worker or a node was lost.
    """

    model_config = STRICT

    workers: Workers = "auto"
    threads: Annotated[int, Within(1, 1024)] = 1
    gpus_per_cell: Annotated[int, Within(0, 64)] = 1
    executor: Text = "local"
    slurm: Slurm = Slurm()
    pretraining: Launch = Launch()
    retries: Annotated[int, Within(0, 100)] = 3

    @model_validator(mode="before")
    @classmethod
    def _slurm_is_meant(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("slurm") is not None and "executor" not in values:
            return {**values, "executor": "slurm"}
        return values


def _named_task(value: Any) -> Any:
    """Return {"task": NAME} for the bare name of a task."""
    return {"task": value} if isinstance(value, str) else value


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

    name: Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    title: Text | None = None
    data: SomeData
    data_root: Annotated[Path | None, BeforeValidator(_either("the path of a folder", None, HomeText))] = None
    arch: Text | None = None
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=MOST)]
    seeds: Seeds = (0,)
    tasks: Annotated[
        tuple[Annotated[SuiteTask, BeforeValidator(_named_task)], ...], Field(min_length=1, max_length=MOST)
    ]
    baseline: Text | None = None
    run: RunSettings = RunSettings()
