"""Transfer tasks: what each declares of itself, and the registry that they are entered in.

This module is light, and so is the module of a task that holds its declaration: help, listings and the
leaderboard read all declarations without importing torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from mmbench.registry import Registry
from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import STRICT

# Options of `mmbench transfer` that some tasks do not use.
Option = Literal["bank", "labels_file", "plot", "precision", "work", "workers"]
# What of a data set a task uses: labelled images, images with boxes, or images with label maps.
Data = Literal["labels", "boxes", "label maps"]
ANY_DATA = "*"
ON_FEATURES: tuple[Option, ...] = ("bank", "plot", "precision", "workers")


class TaskSettings(BaseModel):
    """Base class of every task's typed settings: unknown names are refused."""

    model_config = STRICT
    # Conditions of keys of the library's configuration, and of sections of them.
    library_effects: ClassVar[Mapping[str, tuple[OnlyWith, ...]]] = {}

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the model that checks `values`; a task with several kinds of protocols overrides this."""
        return cls

    @classmethod
    def library_keys(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those names that are keys of the configuration of the task's library; most tasks have none.

        They are given like settings, and the settings hold them in `library`.
        """
        return ()

    @classmethod
    def effects(cls) -> dict[str, tuple[OnlyWith, ...]]:
        """Return what settings and keys of the library need in order to have an effect, by their names."""
        marks = {
            name: tuple(mark for mark in field.metadata if isinstance(mark, OnlyWith))
            for name, field in cls.model_fields.items()
        }
        return {**marks, **cls.library_effects}

    @property
    def customised(self) -> bool:
        """Whether more than settings was changed, which the protocol of the record then says."""
        return False

    def recorded(self) -> dict[str, Any]:
        """Return the settings as a record holds them."""
        return self.model_dump(mode="json")

    def remarks(self) -> tuple[str, ...]:
        """Return what of a protocol's schedule lies beyond the end of a run that was made shorter."""
        found = []
        for name, length in (("decay_epochs", "epochs"), ("decay_at", "iterations")):
            end = _length(self, length)
            beyond = [value for value in getattr(self, name, ()) if value >= end]
            if beyond:
                found.append(
                    f"{name} {beyond} lie beyond the run ({length} {end}): the rate does not fall there"
                )
        warmup, end = getattr(self, "warmup_iterations", 0), _length(self, "iterations")
        if warmup > end:
            found.append(f"the warm-up ({warmup}) is longer than the run (iterations {end})")
        return tuple(found)


def kind_of(
    name: object, kinds: Mapping[str, type[TaskSettings]], usual: type[TaskSettings]
) -> type[TaskSettings]:
    """Return the settings model of a kind that values name, for `TaskSettings.variant`.

    What is not a name takes the usual model, which refuses it.
    """
    return kinds.get(name, usual) if isinstance(name, str) else usual


def _length(settings: TaskSettings, name: str) -> float:
    """Return the length of a run as a setting states it, infinity where none does."""
    stated: float | None = getattr(settings, name, None)
    return math.inf if stated is None else stated


@dataclass(frozen=True)
class BoardColumn:
    """How a task's results are shown on the leaderboard.

    Attributes:
        label: heading of the column, such as "kNN".
        order: position among the tasks; columns are sorted by it.
        variant: from a record's config to (heading, position among the task's own columns), for a task whose
            protocols measure different things, such as shares of the labels.
    """

    label: str
    order: int
    variant: Callable[[Mapping[str, Any]], tuple[str, float]] | None = None

    def of(self, config: Mapping[str, Any]) -> tuple[str, float]:
        """Return the heading and the position among the task's own columns for a record's config."""
        return (self.label, 0.0) if self.variant is None else self.variant(config)


@dataclass(frozen=True)
class TaskEntry:
    """A task as it is declared.

    Attributes:
        settings: typed settings, which the task's protocols fill.
        default_protocol: id of the protocol that is used where the user names none.
        by_data: name of a data set -> id of the protocol that is used on it instead.
        measure: `(TransferJob, settings) -> Measurement`; does the work.
        column: how the leaderboard shows it.
        metrics: what a protocol may name as the primary metric.
        uses: the options of `mmbench transfer` that it uses, of those that some tasks do not.
        frozen: works on the features of a frozen encoder; raw pixels and any `Encoder` will do.
        data: what of the data set it uses.
    """

    name: str
    settings: type[TaskSettings]
    default_protocol: str
    by_data: Mapping[str, str]
    measure: Callable[[Any, Any], Any]
    column: BoardColumn
    metrics: tuple[str, ...]
    uses: tuple[Option, ...]
    frozen: bool
    data: Data

    def protocol_on(self, data: str | None) -> str:
        """Return the id of the protocol that is used on a data set where the user names none."""
        return self.default_protocol if data is None else self.by_data.get(data, self.default_protocol)

    @property
    def dense(self) -> bool:
        """Whether places in images are predicted, and not labels of images."""
        return self.data != "labels"


TASKS: Registry[TaskEntry] = Registry("task", "mmbench.transfer.tasks", "mmbench.transfer.dense")


def task(
    name: str,
    settings: type[TaskSettings],
    default_protocol: str | Mapping[str, str],
    *,
    column: BoardColumn,
    metrics: tuple[str, ...],
    uses: tuple[Option, ...] = (),
    frozen: bool = False,
    data: Data = "labels",
) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Register the decorated function `(TransferJob, settings) -> Measurement` as a transfer task.

    The arguments are the attributes of `TaskEntry`; `default_protocol` may be a mapping from names of data
    sets, in which ANY_DATA stands for all others. Import what is slow to import inside the function.
    """

    def decorate(measure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        by_data = {ANY_DATA: default_protocol} if isinstance(default_protocol, str) else default_protocol
        default = by_data[ANY_DATA]
        entry = TaskEntry(name, settings, default, by_data, measure, column, metrics, uses, frozen, data)
        TASKS.register(name)(entry)
        return measure

    return decorate


Prepare = Callable[[Any, Any], Sequence[str]]
_preparations: dict[str, Prepare] = {}


def prepares(name: str) -> Callable[[Prepare], Prepare]:
    """Register the decorated function `(TransferJob, settings) -> lines` as the dry run of a task.

    It checks what can be checked before a training, writes into the job's work folder what a run would start
    from, and returns a line for each. A task without one is carried out up to its first features or, where it
    asks `job.unfinished` for the state of an interrupted training, up to there.
    """

    def decorate(prepare: Prepare) -> Prepare:
        _preparations[name] = prepare
        return prepare

    return decorate


def preparation_of(name: str) -> Prepare | None:
    """Return the dry run of a task; None if it has none of its own."""
    return _preparations.get(TASKS.get(name).name)


Check = Callable[[Any, Any, Any], None]
_checks: dict[str, Check] = {}


def checks(name: str) -> Callable[[Check], Check]:
    """Register the decorated function `(Dataset, settings, labels file) -> None` as the check of a task.

    It raises UserError where the data set's labels are not what the settings need. It is called before
    anything of any task is computed, and reads no images. Tasks need none.
    """

    def decorate(check: Check) -> Check:
        _checks[name] = check
        return check

    return decorate


def check_of(name: str) -> Check | None:
    """Return the check of a task; None if it has none of its own."""
    return _checks.get(TASKS.get(name).name)


_protocol_folders: list[Traversable] = []


def add_protocols(package: str) -> None:
    """Add the protocol files (*.yaml) of another package, named by its dotted name; for plugins."""
    folder = resources.files(package)
    if folder not in _protocol_folders:
        _protocol_folders.append(folder)


def protocol_folders() -> tuple[Traversable, ...]:
    """Return the folders of protocol files that plugins have added."""
    TASKS.names()  # loads the plugins
    return tuple(_protocol_folders)
