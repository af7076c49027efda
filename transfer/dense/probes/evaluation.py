"""Predictions of a probe for the evaluated images, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.transfer.dense.common.figures import draw_each, draw_losses
from mmbench.transfer.dense.common.label_map_figure import draw_predictions, shown_images
from mmbench.transfer.dense.common.pixel_outcomes import PixelOutcomes
from mmbench.transfer.dense.common.reading import Item, TestLoader, reading_workers
from mmbench.transfer.dense.probes.maps import stored_maps
from mmbench.transfer.dense.probes.network import DenseNetwork
from mmbench.transfer.dense.probes.preparation import Prepared
from mmbench.transfer.dense.probes.scenes import Geometry, TestScenes, windows
from mmbench.transfer.job import Measurement, TransferJob

BATCH = 8  # images, or windows of one image
# From maps (N, C, h, w) on the device to a score per class (N, classes, h, w).
Classify = Callable[[Tensor], Tensor]


def evaluate(job: TransferJob, ready: Prepared, classify: Classify) -> PixelOutcomes:
    """Return the outcomes of every pixel of the evaluated images, gathered from all processes.

    Scores are interpolated to the size of the scored label maps; the class with the highest is predicted.

    Raises:
        UserError: an image cannot be read.
    """
    network, scenes = ready.network, ready.test
    outcomes = PixelOutcomes(ready.classes, keep=shown_images(ready.splits.evaluated))
    maps = stored_maps(job, network, scenes, job.evaluated)
    reader = TestScenes(scenes.scenes, scenes.geometry, scenes.scored_size, with_images=maps is None)
    total = len(scenes.scenes)
    loader = TestLoader(
        reader,
        total,
        batch_size=1 if scenes.geometry.mode == "slide" else BATCH,
        workers=reading_workers(job, total),
        pin_memory=job.device.type == "cuda",
        sizes=scenes.sizes(),
    )
    own, done = sum(map(len, loader.batches)), 0
    with torch.no_grad():
        for batch in loader:
            found = _scores(network, classify, batch, maps, scenes.geometry)
            for item, scores in zip(batch, found, strict=True):
                predicted = at_labels(scores[None], item["labels"].shape)[0].argmax(dim=0)
                outcomes.add(scenes.scenes.name(item["index"]), predicted.cpu(), item["labels"])
            done += len(batch)
            job.report(done, own, f"predictions of {job.evaluated}")
    network.check_frozen()
    outcomes.gather()
    return outcomes


def measurement(
    job: TransferJob,
    ready: Prepared,
    outcomes: PixelOutcomes,
    *,
    notes: Sequence[str] = (),
    effective_lr: float | None = None,
    images_seen: int = 0,
    from_bank: bool = False,
    losses: Path | None = None,
) -> Measurement:
    """Return what a record holds of a probe.

    Args:
        notes: of the probe; those of images and network are added.
        images_seen: images through the network before the evaluation.
        from_bank: whether the training images went through the network for nothing but the bank.
        losses: the file of a training's losses; None where nothing is trained.
    """
    scores = outcomes.scores(job.seed)
    figures, undrawn = _figures(job, ready, outcomes, losses)
    stored = ready.test.geometry.mode != "slide" and ready.test.equal_sizes() is not None
    return Measurement(
        metrics=scores.metrics,
        split_sizes=ready.sizes,
        effective_lr=effective_lr,
        images_seen=images_seen + len(ready.test.scenes),
        notes=(*ready.notes, *notes, *scores.notes, *undrawn),
        per_class=scores.per_class,
        from_bank=from_bank and stored,
        outcomes=outcomes.table(),
        files=figures,
    )


def _figures(
    job: TransferJob, ready: Prepared, outcomes: PixelOutcomes, losses: Path | None
) -> tuple[dict[str, Path], list[str]]:
    """Draw predictions.png and, of a training, losses.png; return them, and a note on each not drawn."""
    splits = ready.splits
    title = f"{job.backbone.card.arm} on {job.dataset.name}, {job.run.protocol_id}, seed {job.seed}"
    drawings: dict[str, Callable[[Path], None]] = {
        "predictions.png": lambda path: draw_predictions(
            splits.data, splits.evaluated, outcomes.kept, title, path
        )
    }
    if losses is not None:
        drawings["losses.png"] = lambda path: draw_losses(losses, title, path)
    return draw_each(drawings, job.work)


def _scores(
    network: DenseNetwork, classify: Classify, batch: list[Item], maps: Tensor | None, geometry: Geometry
) -> Iterator[Tensor]:
    """Yield scores (K, h, w) of each image of a batch."""
    if maps is not None:
        rows = torch.tensor([item["index"] for item in batch])
        yield from classify(maps[rows].float().to(network.compute.device))
    elif geometry.mode == "slide":
        for item in batch:
            yield scores_in_windows(network, classify, item["image"], geometry)
    else:
        yield from classify(network.maps(torch.stack([item["image"] for item in batch])))


def at_labels(scores: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return scores (N, K, h, w) at the (height, width) of label maps, bilinear between positions."""
    return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)


def scores_in_windows(network: DenseNetwork, classify: Classify, image: Tensor, geometry: Geometry) -> Tensor:
    """Return scores (K, H, W) of an image, uint8 (3, H, W), averaged where windows overlap."""
    height, width = image.shape[-2:]
    size = geometry.size
    places = [
        (top, left)
        for top in windows(height, size, geometry.stride)
        for left in windows(width, size, geometry.stride)
    ]
    total, count = torch.zeros(0), torch.zeros(1, height, width, device=network.compute.device)
    for start in range(0, len(places), BATCH):
        part = places[start : start + BATCH]
        cut = torch.stack([image[:, top : top + size, left : left + size] for top, left in part])
        found = at_labels(classify(network.maps(cut)), (size, size))
        if not len(total):
            total = found.new_zeros(found.shape[1], height, width)
        for (top, left), scores in zip(part, found, strict=True):
            total[:, top : top + size, left : left + size] += scores
            count[:, top : top + size, left : left + size] += 1
    return total / count
