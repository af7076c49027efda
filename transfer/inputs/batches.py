"""Augmented batches for training, epoch after epoch; a run that was interrupted goes on in the middle of one.

Under `torchrun` every process draws the same order and crops its own part of each batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset as TorchDataset

from mmbench.data.file_crops import generator_of, random_crops
from mmbench.distributed import own_share
from mmbench.errors import UserError
from mmbench.transfer.inputs.augment import ASPECT, augment
from mmbench.transfer.inputs.images import FileImages, Images, MemoryImages, read_ahead


class Batch(NamedTuple):
    """One step's input.

    Attributes:
        indices: int64 (B,), of the whole batch.
        own: the rows of this process; all of them where there is one.
        views: crops of the own rows on the device, (own, 3, S, S), float in [0, 1] or uint8.
        labels: int64 (B,), of the whole batch, on the device.
    """

    indices: Tensor
    own: slice
    views: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Plan:
    """Which batches there are.

    Attributes:
        count: pictures.
        batch_size: pictures per step, at most `count`.
        epochs: passes.
        whole_batches: leave an incomplete last batch out, for batch norm's sake.
    """

    count: int
    batch_size: int
    epochs: int
    whole_batches: bool

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        size = min(self.batch_size, self.count)
        return self.count // size if self.whole_batches else -(-self.count // size)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.per_epoch

    def rows(self, order: Tensor, step: int) -> Tensor:
        """Return the indices of `step` (from 0) out of its epoch's order."""
        size = min(self.batch_size, self.count)
        start = step % self.per_epoch * size
        return order[start : start + size]


class Views(ABC):
    """The training batches of one run.

    Attributes:
        step: how many batches were handed out; `state()` describes the moment after that one.
    """

    def __init__(self, plan: Plan, scale: tuple[float, float], device: torch.device) -> None:
        self.plan, self.scale, self.device = plan, scale, device
        self.step = 0

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that are left."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what `restore` needs, plain values and tensors."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""


class MemoryViews(Views):
    """Crops of decoded pictures, drawn batch by batch from one generator, which draws the orders too."""

    def __init__(
        self,
        pictures: MemoryImages,
        plan: Plan,
        scale: tuple[float, float],
        device: torch.device,
        generator: Generator,
    ) -> None:
        super().__init__(plan, scale, device)
        self.pictures, self.generator = pictures, generator
        self.order = torch.empty(0, dtype=torch.int64)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that are left."""
        while self.step < self.plan.steps:
            if self.step % self.plan.per_epoch == 0:
                self.order = torch.randperm(self.plan.count, generator=self.generator)
            indices = self.plan.rows(self.order, self.step)
            own = own_share(len(indices))
            images = self.pictures.images[indices]
            views = augment(images, self.pictures.size, self.scale, self.generator, self.device, own)
            self.step += 1
            yield Batch(indices, own, views, self.pictures.labels[indices].to(self.device))

    def state(self) -> dict[str, Any]:
        """Return step, order and generator."""
        return {"step": self.step, "order": self.order, "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.step, self.order = state["step"], state["order"].cpu()  # states are loaded onto the device
        self.generator.set_state(state["generator"].cpu())


class FileViews(Views):
    """Crops of pictures on disk. What is drawn depends on seed, epoch and picture alone."""

    def __init__(
        self,
        pictures: FileImages,
        plan: Plan,
        scale: tuple[float, float],
        device: torch.device,
        seed: int,
    ) -> None:
        super().__init__(plan, scale, device)
        self.pictures, self.seed = pictures, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def _rows(self, step: int) -> Tensor:
        epoch = step // self.plan.per_epoch
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(self.plan.count, generator=generator_of(self.seed, epoch))
        return self.plan.rows(self._order, step)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that are left."""
        ahead: list[Tensor] = []

        def keys() -> Iterable[list[tuple[int, int]]]:
            for step in range(self.step, self.plan.steps):
                indices = self._rows(step)
                ahead.append(indices)
                own = indices[own_share(len(indices))]
                yield [(step // self.plan.per_epoch, index) for index in own.tolist()]

        for views in read_ahead(_Crops(self), keys(), self.pictures.workers):
            indices = ahead.pop(0)
            labels = self.pictures.labels[indices].to(self.device)
            self.step += 1
            own = own_share(len(indices))
            yield Batch(indices, own, views.to(self.device, non_blocking=True), labels)

    def state(self) -> dict[str, Any]:
        """Return the step."""
        return {"step": self.step}

    def restore(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.step = state["step"]


class _Crops(TorchDataset[Any]):
    """One random crop of each picture, mirrored or not; an error is handed back, not raised in a worker."""

    def __init__(self, views: FileViews) -> None:
        self.pictures, self.scale, self.seed = views.pictures, views.scale, views.seed

    def __getitem__(self, key: tuple[int, int]) -> Tensor | str:
        epoch, index = key
        generator = generator_of(self.seed, epoch, index)
        try:
            (crop,) = random_crops(
                self.pictures.path(index), 1, self.pictures.size, self.scale, ASPECT, generator
            )
        except UserError as error:
            return str(error)
        mirrored = float(torch.rand(1, generator=generator)) < 0.5
        return torch.flip(crop, (-1,)) if mirrored else crop


def open_views(
    pictures: Images,
    plan: Plan,
    scale: tuple[float, float],
    device: torch.device,
    generator: Generator,
    seed: int,
) -> Views:
    """Return training views of `pictures`.

    Args:
        scale: range of a crop's area as a share of the picture.
        generator: what pictures in memory draw from; the same in every process.
        seed: what pictures in files draw from.
    """
    if isinstance(pictures, FileImages):
        return FileViews(pictures, plan, scale, device, seed)
    assert isinstance(pictures, MemoryImages)
    return MemoryViews(pictures, plan, scale, device, generator)
