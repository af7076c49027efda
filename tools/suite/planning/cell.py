"""Cells: the pieces of work of a suite, each content-addressed, and what they wait for."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer

from mmbench.files import safe_name
from mmbench.settings.types import STRICT


class DataWork(BaseModel):
    """Find, or prepare, one data set."""

    model_config = STRICT

    kind: Literal["data"] = "data"
    data: str


class PretrainWork(BaseModel):
    """One pretraining of one arm with one seed.

    Attributes:
        arm: the suite's name of the arm; its records are filed under it.
        seed: of the pretraining.
        data: what it learns from.
        method, scale, arch, epochs: as `mmbench pretrain` takes them; None leaves them to the recipe.
        settings: any other settings of the pretraining, by dotted name.
        processes: that train together, on all nodes; batch statistics depend on it.
    """

    model_config = STRICT

    kind: Literal["pretrain"] = "pretrain"
    arm: str
    seed: int
    data: str
    method: str
    scale: str | None = None
    arch: str | None = None
    epochs: int | None = None
    settings: dict[str, Any] = {}
    processes: int = 1

    @model_serializer(mode="wrap")
    def _without_one_process(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave a single process out, as before there could be several: the ids of cells stay."""
        content: dict[str, Any] = handler(self)
        if self.processes == 1:
            del content["processes"]
        return content

    @property
    def folder(self) -> str:
        """Name of its run folder, below `runs/` of the suite's folder."""
        return safe_name(f"{self.arm}-seed{self.seed}")


class TransferWork(BaseModel):
    """One task on one arm's weights with one seed.

    Attributes:
        arm: the suite's name of the arm; its records are filed under it.
        weights: of a pretraining of this suite, or what `--checkpoint` names (a file, a control, "timm:...").
        weights_seed: of random weights; where `weights` is a pretraining, its seed.
        arch: timm name, needed for random weights and for files that do not state it.
        data, task, protocol: as `mmbench transfer` takes them; the protocol is always stated.
        settings: in place of the protocol's.
        seed: of the task and of its label subset.
    """

    model_config = STRICT

    kind: Literal["transfer"] = "transfer"
    arm: str
    weights: PretrainWork | str
    weights_seed: int
    arch: str | None = None
    data: str
    task: str
    protocol: str
    settings: dict[str, Any] = {}
    seed: int


Work = DataWork | PretrainWork | TransferWork


class Cell(BaseModel):
    """One piece of work for one worker.

    Attributes:
        name: unique in its suite, for people, such as "mixmask-seed0 knn/patterns@2 seed1".
        work: everything that decides its result.
        after: ids of the cells that must be done first.
        seconds: estimated wall time on this hardware, with one thread where it runs on the CPU.
    """

    model_config = STRICT

    name: str
    work: Work
    after: tuple[str, ...] = ()
    seconds: float

    @functools.cached_property
    def id(self) -> str:
        """Digest of the work, 16 hex digits: the same work has the same id in every suite."""
        return work_id(self.work)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def work_id(work: Work) -> str:
    """Return the digest of a piece of work, 16 hex digits."""
    content = _ENCODER.encode(work.model_dump(mode="json"))
    return hashlib.sha256(content.encode()).hexdigest()[:16]
