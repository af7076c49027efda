"""How large the memory of a retrieval probe will be, and where it fits; known before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch

from mmbench.distributed import any_process, process_count
from mmbench.errors import UserError
from mmbench.launched import launched_here
from mmbench.transfer.dense.probes.preparation import Prepared
from mmbench.transfer.dense.probes.retrieval_settings import RetrievalSettings
from mmbench.transfer.job import TransferJob

BATCH = 16  # images through the network, in each process
MOST_OF_MEMORY = 0.8  # share of what is free that the memory may take; the rest is for everything else
COUNTS = torch.int32


@dataclass(frozen=True)
class MemoryPlan:
    """How large a memory will be.

    Attributes:
        images: training images.
        draws: images that patches are taken from: all training images, once per epoch.
        patches: of the image with the most.
        share: how many of them a memory of the asked size would keep of each image.
        size: patches in the memory at most.
        width: numbers of a feature.
        number: how features are stored.
        bytes: features and labels together.
        place: where they are.
        notes: what is not as the settings say.
    """

    images: int
    draws: int
    patches: int
    share: int
    size: int
    width: int
    number: torch.dtype
    bytes: int
    place: torch.device
    notes: tuple[str, ...] = ()

    @property
    def batch(self) -> int:
        """How many images go through the network at a time, in all processes."""
        return BATCH * process_count()

    @property
    def per_draw(self) -> int:
        """How many patches of an image are kept at most."""
        return min(self.share, self.patches)

    def lines(self) -> list[str]:
        """Return the plan in words."""
        epochs = self.draws // self.images
        times = "" if epochs == 1 else f", each drawn {epochs} times"
        lines = [
            f"memory: at most {self.size:,} patches, {self.per_draw:,} of up to {self.patches:,} of each of "
            f"{self.images:,} training images{times}; {self.width:,} numbers each as "
            f"{str(self.number).removeprefix('torch.')}, {self.bytes / 2**30:.2f} GiB with labels, "
            f"{'in main memory' if self.place.type == 'cpu' else 'on the GPU'}"
        ]
        if self.share > self.patches:
            lines.append(
                f"memory_size asks for {self.share:,} patches of an image, more than it has: all are kept"
            )
        return [*lines, *self.notes]


def planned(job: TransferJob, ready: Prepared, settings: RetrievalSettings) -> MemoryPlan:
    """Return how large the memory will be, and where it fits.

    Raises:
        UserError: it would hold less than one patch of each image or fewer than the neighbours, or there is
            not enough memory.
    """
    images = len(ready.train)
    draws = images * settings.epochs
    patches, width = _patches(ready, settings)
    most = max(patches)
    share = most if settings.memory_size is None else settings.memory_size // draws
    if not share:
        raise UserError(
            f"a memory of {settings.memory_size:,} patches has no room for one of each of {draws:,} images "
            f"({images:,} training images, {settings.epochs} epochs); raise memory_size, or draw fewer "
            "images (train_images, epochs), by --set"
        )
    size = sum(min(share, count) for count in patches) * settings.epochs
    require_neighbours(size, settings)
    number = getattr(torch, settings.memory_type)
    row = width * number.itemsize + len(ready.classes) * COUNTS.itemsize
    place = _place(job, size * row, f"a memory of {size:,} patches with {width:,} numbers each")
    notes = _notes(ready, settings)
    return MemoryPlan(images, draws, most, share, size, width, number, size * row, place, notes)


def _notes(ready: Prepared, settings: RetrievalSettings) -> tuple[str, ...]:
    """Return what differs from the settings, as the network takes no crops of that size."""
    if settings.augmentation == "none" or settings.crop is None:
        return ()
    side = ready.network.fitted(settings.crop)
    if side == settings.crop:
        return ()
    return (f"training crops have {side} instead of {settings.crop} px: a multiple of the patch",)


def require_neighbours(patches: int, settings: RetrievalSettings) -> None:
    """Check that a memory has at least as many patches as are looked up.

    Raises:
        UserError: it has not.
    """
    if patches < settings.neighbours:
        raise UserError(
            f"the training images have only {patches:,} labelled patches for the memory, fewer than "
            f"neighbours={settings.neighbours}; lower it, or raise memory_size, train_images or the size of "
            "images, by --set"
        )


def _patches(ready: Prepared, settings: RetrievalSettings) -> tuple[list[int], int]:
    """Return how many patches each training image has in one epoch, and the width of their features.

    Raises:
        UserError: the network takes no images of these sizes.
    """
    network, fed = ready.network, ready.fed_as_test()
    if settings.augmentation == "none":
        sizes = fed.sizes()
    else:
        assert settings.crop is not None
        sizes = [(network.fitted(settings.crop),) * 2] * len(ready.train)
    grids = {size: network.require(*size).shape[2:] for size in set(sizes)}
    return [grids[size].numel() for size in sizes], network.width


def _place(job: TransferJob, needed: int, what: str) -> torch.device:
    """Return the device that a number of bytes fits on: the run's own where possible.

    Raises:
        UserError: they fit nowhere.
    """
    if job.device.type == "cuda":
        free = torch.cuda.mem_get_info(job.device)[0]
        if needed <= MOST_OF_MEMORY * free:
            return job.device
    beside = min(process_count(), launched_here(1))
    free = psutil.virtual_memory().available // beside
    if any_process([needed > MOST_OF_MEMORY * free], job.device)[0]:
        raise UserError(
            f"{what} takes {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free"
            f"{'' if beside == 1 else f' for each of {beside} processes'}; set a smaller memory_size by --set"
        )
    return torch.device("cpu")
