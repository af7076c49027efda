"""Finetuning of every layer, for the semi-supervised and the full protocols."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.data import ImageSplit
from mmbench.errors import UserError
from mmbench.preprocessing import Preprocess, centre_crop
from mmbench.transfer.augment import augment
from mmbench.transfer.task import TaskSettings, TransferJob

EVALUATION_BATCH = 128


class FinetuneSettings(TaskSettings):
    """Settings of a finetuning run by SGD with momentum.

    Attributes:
        epochs: passes over the labelled images.
        batch_size: at most this many; fewer where there are fewer images.
        backbone_learning_rate, head_learning_rate: at the start; they are not scaled by anything.
        momentum, weight_decay: of SGD.
        decay_epochs: after these epochs both rates are multiplied by `decay_factor`; where there are none,
            both follow a cosine to zero, step by step.
        crop_scale: range of the crop's area; crops and flips are the only augmentation.
    """

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=1)
    backbone_learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    decay_epochs: tuple[int, ...] = ()
    decay_factor: float = Field(default=0.2, gt=0)
    crop_scale: tuple[float, float] = (0.3, 1.0)


class Classifier(nn.Module):
    """A backbone and a fresh linear head behind the backbone's own preprocessing."""

    def __init__(self, job: TransferJob, classes: int) -> None:
        super().__init__()
        self.prepare = Preprocess(job.backbone.card.preprocessing)
        self.backbone = job.backbone.build()
        width = getattr(self.backbone, "head_hidden_size", None) or self.backbone.num_features
        self.head = nn.Linear(int(width), classes)  # type: ignore[arg-type]
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, 3, S, S), uint8 or float in [0, 1]."""
        prepared = self.prepare(images).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.head(self.backbone(prepared))
        return logits


class Finetuned(NamedTuple):
    """What a finetuning run leaves.

    Attributes:
        images_seen: images through the network, counted with repetitions.
        labels_used: distinct images that took part in a step.
    """

    model: Classifier
    images_seen: int
    labels_used: int


def rate_factor(step: int, per_epoch: int, settings: FinetuneSettings) -> float:
    """Return what both learning rates are multiplied by at `step` (0-based)."""
    if settings.decay_epochs:
        passed = sum(step // per_epoch >= epoch for epoch in settings.decay_epochs)
        return settings.decay_factor**passed
    return 0.5 * (1 + math.cos(math.pi * step / (settings.epochs * per_epoch)))


def finetune(job: TransferJob, labelled: ImageSplit, settings: FinetuneSettings) -> Finetuned:
    """Train every layer on crops and flips of the labelled images.

    Batch norm runs on batch statistics, so an incomplete batch at the end of an epoch is left out.

    Raises:
        UserError: the loss is no longer finite.
    """
    size = job.backbone.card.preprocessing.image_size
    generator = torch.Generator().manual_seed(job.seed)
    model = Classifier(job, len(job.dataset.classes)).to(job.device).to(memory_format=torch.channels_last)
    groups: list[dict[str, Any]] = [
        {"params": list(model.backbone.parameters()), "lr": settings.backbone_learning_rate},
        {"params": list(model.head.parameters()), "lr": settings.head_learning_rate},
    ]
    optimiser = torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    count = len(labelled)
    batch_size = min(settings.batch_size, count)
    per_epoch = count // batch_size
    total, step = settings.epochs * per_epoch, 0
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_factor(step, per_epoch, settings)
    )
    used = torch.zeros(count, dtype=torch.bool)
    model.train()
    # Architectures with dropout or stochastic depth draw from the global generator.
    with torch.random.fork_rng(devices=[job.device] if job.device.type == "cuda" else []):
        torch.manual_seed(job.seed)
        for _ in range(settings.epochs):
            order = torch.randperm(count, generator=generator)
            for indices in torch.split(order[: per_epoch * batch_size], batch_size):
                used[indices] = True
                views = augment(labelled.images[indices], size, settings.crop_scale, generator, job.device)
                loss = F.cross_entropy(model(views), labelled.labels[indices].to(job.device))
                if not torch.isfinite(loss):
                    raise UserError(
                        f"finetuning diverged at step {step} (backbone learning rate "
                        f"{schedule.get_last_lr()[0]:g}); lower backbone_learning_rate or head_learning_rate "
                        f"of {job.protocol.id}"
                    )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                step += 1
                job.report(step, total, f"loss {loss.item():.2f}")
    return Finetuned(model, total * batch_size, int(used.sum()))


@torch.inference_mode()
def predict(model: Classifier, images: Tensor, job: TransferJob) -> Tensor:
    """Return logits (N, classes) on the CPU for stored uint8 images, centre-cropped."""
    model.eval()
    size = job.backbone.card.preprocessing.image_size
    batches = torch.split(images, EVALUATION_BATCH)
    return torch.cat([model(centre_crop(batch, size).to(job.device)).float().cpu() for batch in batches])
