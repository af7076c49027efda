"""Augmented batches for training, epoch after epoch. An interrupted run continues in the middle of an epoch.

Under `torchrun` every process draws the same order and crops its own part of each batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from mmbench.data.images.file_crops import generator_of, random_crops
from mmbench.distributed import own_share
from mmbench.images.crop_rule import CropRule
from mmbench.transfer.inputs.augment import augment
from mmbench.transfer.inputs.images import EqualImages, FileImages, Images, MemoryImages, read_ahead


class Batch(NamedTuple):
    """One step's input.

    Attributes:
        indices: int64 (B,), of the whole batch.
        own: the rows of this process; all of them where there is one.
        inputs: of the own rows, on the device: crops (own, 3, S, S), float in [0, 1] or uint8; or features
            (own, C).
        labels: int64 (B,), of the whole batch, on the device.
    """

    indices: Tensor
    own: slice
    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batching:
    """How the images of an epoch are divided into batches.

    Attributes:
        count: images.
        batch_size: images per step, at most `count`.
        epochs: passes.
        whole_batches: skip an incomplete last batch, for the sake of batch norm.
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


class TrainingBatches(ABC):
    """The training batches of one run.

    Attributes:
        step: batches yielded so far; `state_dict()` describes the moment after the last one.
    """

    def __init__(self, batching: Batching, device: torch.device) -> None:
        self.batching, self.device = batching, device
        self.step = 0

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """Yield the remaining batches."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs, plain values and tensors."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from where `state_dict` was called."""
        self.step = state["step"]


class _DrawnBatches(TrainingBatches):
    """Batches whose order is drawn from one generator, epoch by epoch."""

    def __init__(
        self, labels: Tensor, batching: Batching, device: torch.device, generator: Generator
    ) -> None:
        super().__init__(batching, device)
        self.labels, self.generator = labels, generator
        self.order = torch.empty(0, dtype=torch.int64)

    @abstractmethod
    def inputs(self, indices: Tensor) -> tuple[slice, Tensor]:
        """Return this process's rows of a batch and their inputs on the device."""

    def __iter__(self) -> Iterator[Batch]:
        """Yield the remaining batches."""
        while self.step < self.batching.steps:
            if self.step % self.batching.per_epoch == 0:
                self.order = torch.randperm(self.batching.count, generator=self.generator)
            indices = self.batching.rows(self.order, self.step)
            own, inputs = self.inputs(indices)
            self.step += 1
            yield Batch(indices, own, inputs, self.labels[indices].to(self.device))

    def state_dict(self) -> dict[str, Any]:
        """Return step, order and generator."""
        return {**super().state_dict(), "order": self.order, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        super().load_state_dict(state)
        self.order = state["order"].cpu()  # states are loaded onto the device
        self.generator.set_state(state["generator"].cpu())


class FeatureBatches(_DrawnBatches):
    """Features (N, C) that were taken once; every process gets whole batches."""

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        batching: Batching,
        device: torch.device,
        generator: Generator,
    ) -> None:
        super().__init__(labels, batching, device, generator)
        self.features = features

    def inputs(self, indices: Tensor) -> tuple[slice, Tensor]:
        """Return the features of a batch."""
        return slice(None), self.features[indices].to(self.device).float()


class MemoryBatches(_DrawnBatches):
    """Crops of decoded images, drawn batch by batch from the generator that draws the orders too."""

    def __init__(
        self,
        images: MemoryImages,
        batching: Batching,
        rule: CropRule,
        device: torch.device,
        generator: Generator,
    ) -> None:
        super().__init__(images.labels, batching, device, generator)
        self.images, self.rule = images, rule

    def inputs(self, indices: Tensor) -> tuple[slice, Tensor]:
        """Return crops of the process's own images."""
        own = own_share(len(indices))
        stored = self.images.images[indices]
        return own, augment(stored, self.images.size, self.rule, self.generator, self.device, own)


class FileBatches(TrainingBatches):
    """Crops of images on disk. What is drawn depends on seed, epoch and image alone."""

    def __init__(
        self,
        images: FileImages,
        batching: Batching,
        rule: CropRule,
        device: torch.device,
        seed: int,
    ) -> None:
        super().__init__(batching, device)
        self.images, self.rule, self.seed = images, rule, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def _rows(self, step: int) -> Tensor:
        epoch = step // self.batching.per_epoch
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = torch.randperm(self.batching.count, generator=generator_of(self.seed, epoch))
        return self.batching.rows(self._order, step)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the remaining batches."""
        ahead: list[Tensor] = []

        def keys() -> Iterable[list[tuple[int, int]]]:
            for step in range(self.step, self.batching.steps):
                indices = self._rows(step)
                ahead.append(indices)
                own = indices[own_share(len(indices))]
                yield [(step // self.batching.per_epoch, index) for index in own.tolist()]

        for crops in read_ahead(_Crops(self), keys(), self.images.workers):
            indices = ahead.pop(0)
            labels = self.images.labels[indices].to(self.device)
            self.step += 1
            own = own_share(len(indices))
            yield Batch(indices, own, crops.to(self.device, non_blocking=True), labels)


class _Crops(EqualImages):
    """One random crop of each image, mirrored or not."""

    def __init__(self, batches: FileBatches) -> None:
        self.images, self.rule, self.seed = batches.images, batches.rule, batches.seed
        super().__init__(self.images.size, self.images.size)

    def read(self, key: tuple[int, int], into: Tensor) -> None:
        epoch, index = key
        generator = generator_of(self.seed, epoch, index)
        random_crops(self.images.files.place(index), into[None], self.rule, generator)
        if float(torch.rand(1, generator=generator)) < 0.5:
            into.copy_(into.flip(-1))


def training_batches(
    images: Images,
    batching: Batching,
    rule: CropRule,
    device: torch.device,
    generator: Generator,
    seed: int,
) -> TrainingBatches:
    """Return augmented training batches of `images`.

    Args:
        rule: what crops are drawn from.
        generator: what images in memory draw from; the same in every process.
        seed: what images in files draw from.
    """
    if isinstance(images, FileImages):
        return FileBatches(images, batching, rule, device, seed)
    assert isinstance(images, MemoryImages)
    return MemoryBatches(images, batching, rule, device, generator)
