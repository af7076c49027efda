"""The feature maps of a split without augmentation, as rows of the feature bank where they fit."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.distributed import gather_shares, on_main, own_share, process_count
from mmbench.errors import UserError
from mmbench.transfer.dense.common.reading import reading_workers
from mmbench.transfer.dense.probes.network import DenseNetwork
from mmbench.transfer.dense.probes.scenes import TestScenes
from mmbench.transfer.inputs.features import is_pixels, weights_digest
from mmbench.transfer.inputs.images import EqualImages, read_ahead
from mmbench.transfer.job import TransferJob

BATCH = 16
MOST_IN_MEMORY = 4 * 2**30  # bytes of maps that a run keeps without a bank
MOST_OF_DISK = 0.5  # share of the free disk that the maps of one split may take


class _FedImages(EqualImages):
    """Images as they are fed."""

    def __init__(self, scenes: TestScenes, height: int, width: int) -> None:
        super().__init__(height, width)
        self.scenes = scenes

    def read(self, key: int, into: Tensor) -> None:
        into.copy_(self.scenes.image(key))


class SplitMaps:
    """The maps of a split whose images are all fed at one size: a row of the bank is a map, flattened.

    Attributes:
        shape: (C, h, w) of a map.
    """

    def __init__(self, job: TransferJob, network: DenseNetwork, scenes: TestScenes) -> None:
        size = scenes.equal_sizes()
        assert size is not None and scenes.geometry.mode != "slide"
        self.job, self.network, self.scenes, self.size = job, network, scenes, size
        self.shape = tuple(network.require(*size).shape[1:])

    def __len__(self) -> int:
        return len(self.scenes.scenes)

    @property
    def bytes(self) -> int:
        """What all rows take as the bank stores them."""
        return len(self) * self.prepare() * np.dtype(self.job.run.bank.stored).itemsize

    def facts(self) -> dict[str, Any]:
        """Return weights, preprocessing, fed pixels, the network's stride and how it computes."""
        backbone, compute = self.job.backbone, self.job.compute
        return {
            "kind": "maps",
            "weights": weights_digest(backbone),
            "pixels": is_pixels(backbone),
            "preprocessing": backbone.card.preprocessing.model_dump(mode="json"),
            "split": self.scenes.fingerprint(),
            "stride": self.network.stride,
            "shape": list(self.shape),
            "precision": compute.precision,
            "device": compute.device.type,
        }

    def prepare(self) -> int:
        """Return the numbers of a map."""
        channels, height, width = self.shape
        return int(channels * height * width)

    def rows(self, start: int, stop: int) -> Iterator[Tensor]:
        """Yield maps, flattened; processes share each batch, and all of them get all rows.

        Raises:
            UserError: features that are not finite, or an image that cannot be read.
        """
        batches = torch.arange(start, stop).split(BATCH * process_count())
        own = (indices[own_share(len(indices))] for indices in batches)
        found = read_ahead(_FedImages(self.scenes, *self.size), own, reading_workers(self.job, stop - start))
        for indices in batches:
            images = next(found)
            rows = (
                self.network.maps(images).flatten(1)
                if len(images)
                else torch.zeros(0, self.prepare(), device=self.job.device)
            )
            yield gather_shares(rows, len(indices)).cpu()


def stored_maps(job: TransferJob, network: DenseNetwork, scenes: TestScenes, what: str) -> Tensor | None:
    """Return the maps (N, C, h, w) of a split from the bank, which computes those that it lacks.

    Args:
        what: such as "test", for the progress.

    Returns:
        None where the run has no bank, images are fed in several sizes or in windows, or the maps would take
        more than half of the free disk: the caller computes them as it needs them.

    Raises:
        UserError: features that are not finite, or an image that cannot be read.
    """
    bank = job.run.bank
    if bank.root is None or scenes.geometry.mode == "slide" or scenes.equal_sizes() is None:
        return None
    maps, root = SplitMaps(job, network, scenes), bank.root
    root.mkdir(parents=True, exist_ok=True)
    fits = on_main(lambda: maps.bytes <= MOST_OF_DISK * shutil.disk_usage(root).free)
    if not fits and not bank.holds(maps):
        bank.notes.append(
            f"the maps of {what} ({maps.bytes / 2**30:.1f} GiB) were not kept in the feature bank: they "
            "would take more than half of the free disk"
        )
        return None
    return _rows(job, maps, what)


def kept_maps(job: TransferJob, network: DenseNetwork, scenes: TestScenes, what: str) -> Tensor:
    """Return the maps (N, C, h, w) of a split, from the bank or else in memory.

    Raises:
        UserError: see `stored_maps`; images are fed in several sizes, or the maps take too much memory.
    """
    found = stored_maps(job, network, scenes, what)
    if found is not None:
        return found
    if scenes.equal_sizes() is None:
        raise UserError(
            f"images of {what} differ in size, so their maps cannot be kept; feed them at one size by --set "
            "test_mode=squash --set test_size=..., or train on crops (augmentation)"
        )
    maps = SplitMaps(job, network, scenes)
    if maps.bytes > MOST_IN_MEMORY:
        raise UserError(
            f"the maps of {what} take {maps.bytes / 2**30:.1f} GiB; keep them on a disk with twice as much "
            "space by --bank, or train on fewer images or crops (train_images, augmentation)"
        )
    return _rows(job, maps, what)


def _rows(job: TransferJob, maps: SplitMaps, what: str) -> Tensor:
    def report(done: int, total: int) -> None:
        job.report(done, total, f"maps of {what}")

    found: Tensor = job.run.bank.rows(maps, report).unflatten(1, maps.shape)
    return found
