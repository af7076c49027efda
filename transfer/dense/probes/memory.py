"""The memory of a retrieval probe: features of training patches, with the labels of their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmbench.data.images.file_crops import generator_of
from mmbench.distributed import gather_shares, own_share
from mmbench.transfer.dense.common.reading import Item, Read, read_draws, reading_workers
from mmbench.transfer.dense.common.sampling import Draw
from mmbench.transfer.dense.probes.maps import stored_maps
from mmbench.transfer.dense.probes.memory_images import FedImages, MemoryCrops
from mmbench.transfer.dense.probes.memory_plan import COUNTS, MemoryPlan, require_neighbours
from mmbench.transfer.dense.probes.network import DenseNetwork
from mmbench.transfer.dense.probes.patches import kept_patches, label_counts
from mmbench.transfer.dense.probes.preparation import Prepared
from mmbench.transfer.dense.probes.retrieval_settings import RetrievalSettings
from mmbench.transfer.job import TransferJob


@dataclass(frozen=True)
class Memory:
    """Patches of training images.

    Attributes:
        features: (M, C), of length 1, as float16 or float32.
        counts: int32 (M, classes), labelled pixels of each class; each patch has some.
        notes: what a reader of the record must know.
    """

    features: Tensor
    counts: Tensor
    notes: tuple[str, ...] = ()

    def shares(self, index: Tensor) -> Tensor:
        """Return each class's share (Q, classes) of the labelled pixels of some patches (Q,)."""
        counts = self.counts[index.to(self.counts.device)].float()
        return counts / counts.sum(dim=1, keepdim=True)


def build_memory(job: TransferJob, ready: Prepared, settings: RetrievalSettings, plan: MemoryPlan) -> Memory:
    """Return the memory; it depends on the run's seed, and not on how many processes share the work.

    Raises:
        UserError: an image cannot be read, features are not finite, or too few patches are labelled.
    """
    classes = len(ready.classes)
    features = torch.empty((plan.size, plan.width), dtype=plan.number, device=plan.place)
    counts = torch.empty((plan.size, classes), dtype=COUNTS, device=plan.place)
    filled = unlabelled = few = done = 0
    for part in _parts(job, ready, settings, plan):
        for index, kept in enumerate(part.kept.tolist()):
            features[filled : filled + kept] = part.features[index, :kept].to(plan.number)
            counts[filled : filled + kept] = part.counts[index, :kept]
            filled += kept
        few += int((part.kept < plan.per_draw).sum())
        unlabelled += int(part.unlabelled.sum())
        done += len(part.kept)
        job.report(done, plan.draws, "patches of the memory")
    require_neighbours(filled, settings)
    notes = [f"the memory holds {filled:,} patches"]
    if unlabelled:
        notes.append(f"{unlabelled:,} patches without a labelled pixel were no candidates for the memory")
    if few:
        notes.append(f"{few:,} of {plan.draws:,} images gave fewer than {plan.per_draw:,} patches")
    return Memory(features[:filled], counts[:filled], tuple(notes))


class _Part(NamedTuple):
    """Patches of some images, filled with zeros to the same number for each.

    Attributes:
        kept: int64 (n,), how many patches of an image there are.
        features: float32 (n, per_draw, C), of length 1.
        counts: int32 (n, per_draw, classes).
        unlabelled: int64 (n,), how many patches had no labelled pixel.
    """

    kept: Tensor
    features: Tensor
    counts: Tensor
    unlabelled: Tensor


def _parts(
    job: TransferJob, ready: Prepared, settings: RetrievalSettings, plan: MemoryPlan
) -> Iterator[_Part]:
    """Yield the patches of all images, in order and in every process; processes share each batch."""
    read, stored = _reader(job, ready, settings)
    batches = [range(plan.draws)[start : start + plan.batch] for start in range(0, plan.draws, plan.batch)]
    own = [
        [Draw(number % plan.images, number) for number in batch[own_share(len(batch))]] for batch in batches
    ]
    workers = reading_workers(job, plan.draws)
    found = read_draws(read, job.seed, own, workers=workers, pin_memory=job.device.type == "cuda")
    with torch.no_grad():
        for batch, draws, items in zip(batches, own, found, strict=True):
            part = _empty_part(len(draws), plan, len(ready.classes), job.device)
            maps = _maps(ready.network, items, stored)
            for index, (draw, item, positions) in enumerate(zip(draws, items, maps, strict=True)):
                grid = (positions.shape[1], positions.shape[2])
                counts = label_counts(item["labels"], grid, len(ready.classes))
                kept = kept_patches(counts, plan.per_draw, generator_of(job.seed, draw.number))
                rows = positions.flatten(1).T[kept.to(positions.device)]
                part.features[index, : len(kept)] = normalize(rows.to(job.device).float(), dim=1)
                part.counts[index, : len(kept)] = counts[kept].to(job.device)
                part.kept[index] = len(kept)
                part.unlabelled[index] = int((counts.sum(dim=1) == 0).sum())
            yield _Part(*(gather_shares(rows, len(batch)) for rows in part))


def _empty_part(images: int, plan: MemoryPlan, classes: int, device: torch.device) -> _Part:
    return _Part(
        torch.zeros(images, dtype=torch.int64, device=device),
        torch.zeros((images, plan.per_draw, plan.width), device=device),
        torch.zeros((images, plan.per_draw, classes), dtype=COUNTS, device=device),
        torch.zeros(images, dtype=torch.int64, device=device),
    )


def _reader(job: TransferJob, ready: Prepared, settings: RetrievalSettings) -> tuple[Read, Tensor | None]:
    """Return what reads a training image, and the maps of all where the bank has them."""
    if settings.augmentation == "resized-crop":
        assert settings.crop is not None
        return MemoryCrops(ready.train, settings, ready.network.fitted(settings.crop)), None
    fed = ready.fed_as_test()
    stored = stored_maps(job, ready.network, fed, "train")
    return FedImages(fed, with_images=stored is None), stored


def _maps(network: DenseNetwork, items: list[Item], stored: Tensor | None) -> list[Tensor]:
    """Return the map (C, h, w) of each image; those of one size go through the network together."""
    if stored is not None:
        return [stored[item["index"]] for item in items]
    maps: dict[int, Tensor] = {}
    for size in {item["image"].shape for item in items}:
        alike = [index for index, item in enumerate(items) if item["image"].shape == size]
        found = network.maps(torch.stack([items[index]["image"] for index in alike]))
        maps.update(zip(alike, found, strict=True))
    return [maps[index] for index in range(len(items))]
