"""The linear sweep: many heads at once, on features taken once or on augmented images; val chooses one."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from mmbench.data.dataset import Split
from mmbench.errors import UserError
from mmbench.transfer.accuracy import classification_metrics, confusion
from mmbench.transfer.augment import augment
from mmbench.transfer.features import FrozenNetwork
from mmbench.transfer.heads import LinearHeads, recipes
from mmbench.transfer.linear_settings import SweepProbe
from mmbench.transfer.task import Measurement, TransferJob


def rate_factor(step: int, per_epoch: int, settings: SweepProbe) -> float:
    """Return what every learning rate is multiplied by at `step` (0-based): steps, or a cosine to zero."""
    if settings.decay_epochs:
        passed = sum(step // per_epoch >= epoch for epoch in settings.decay_epochs)
        return float(settings.decay_factor**passed)
    return 0.5 * (1 + math.cos(math.pi * step / (settings.epochs * per_epoch)))


def train_heads(
    job: TransferJob, features: Tensor | None, settings: SweepProbe, network: FrozenNetwork | None = None
) -> LinearHeads:
    """Train every head of the sweep on train.

    Args:
        features: (N, C), taken once; None where `network` is to run on new crops in every step.
    """
    train = job.dataset.split("train")
    generator = torch.Generator().manual_seed(job.seed)
    size = job.backbone.card.preprocessing.image_size

    def batch(indices: Tensor) -> Tensor:
        if features is not None:
            return features[indices].to(job.device).float()
        assert network is not None
        views = augment(train.images[indices], size, settings.crop_scale, generator, job.device)
        with torch.no_grad():
            seen: Tensor = network(views)
        return seen

    if features is not None:
        width = features.shape[1]
    else:
        width = batch(torch.zeros(1, dtype=torch.int64)).shape[1]
        generator.manual_seed(job.seed)  # the first look draws nothing
    heads = LinearHeads(
        recipes(settings.learning_rates, settings.weight_decays, settings.batch_norm),
        width,
        len(job.dataset.classes),
        settings.momentum,
        generator,
        job.device,
    )
    for step, indices in enumerate(_batches(len(train), settings, generator)):
        per_epoch = max(1, len(train) // settings.batch_size)
        total = settings.epochs * per_epoch
        heads.step(
            batch(indices), train.labels[indices].to(job.device), rate_factor(step, per_epoch, settings)
        )
        if features is None or step % 20 == 0:
            job.report(step + 1, total, f"{len(heads.recipes)} heads, epoch {step // per_epoch + 1}")
    return heads


def _batches(count: int, settings: SweepProbe, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of every step; an incomplete batch is left out, for the batch norm's sake."""
    size = min(settings.batch_size, count)
    for _ in range(settings.epochs):
        order = torch.randperm(count, generator=generator)
        yield from torch.split(order[: count // size * size], size)


def measure_sweep(job: TransferJob, settings: SweepProbe) -> Measurement:
    """Train all heads on train, choose one by top-1 on val, measure that one on the evaluated split.

    Raises:
        UserError: every head diverged.
    """
    evaluated: Split = job.protocol.split  # type: ignore[assignment]
    splits: tuple[Split, ...] = ("train", "val", evaluated)
    network = None
    if settings.augmented:
        network = FrozenNetwork(job.backbone, job.device)
        heads = train_heads(job, None, settings, network)
        network.check_frozen()
    else:
        job.report(0, 1, "features of train")
        heads = train_heads(job, job.features("train"), settings)
    val, test = (job.features(split).to(job.device).float() for split in splits[1:])
    accuracies = heads.accuracies(val, job.dataset.split("val").labels.to(job.device))
    best = max(range(len(accuracies)), key=accuracies.__getitem__)  # of equal ones the first
    if accuracies[best] == 0:
        raise UserError(f"every head of {job.protocol.id} diverged; give smaller learning_rates by --set")
    scores, labels = heads.logits(test, best).cpu(), job.dataset.split(evaluated).labels
    train_images = len(job.dataset.split("train"))
    passes = settings.epochs if settings.augmented else 1
    return Measurement(
        metrics=classification_metrics(scores, labels, logits=True),
        split_sizes={split: len(job.dataset.split(split)) for split in splits},
        effective_lr=heads.recipes[best].learning_rate,
        images_seen=passes * train_images + len(val) + len(test),
        notes=(
            f"{heads.recipes[best]} chosen on val among {len(accuracies)} heads "
            f"(val top-1 {100 * min(accuracies):.1f} to {100 * accuracies[best]:.1f})",
        ),
        confusion=confusion(scores, labels),
        from_bank=not settings.augmented,
    )
