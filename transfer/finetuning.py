"""Finetuning of every layer, for the semi-supervised and the full protocols."""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.crops import draw_crops, resized_crops
from mmbench.data import ImageSplit
from mmbench.errors import UserError
from mmbench.preprocessing import Preprocess, centre_crop
from mmbench.transfer.task import TaskSettings, TransferJob

EVALUATION_BATCH = 250
ASPECT = (3 / 4, 4 / 3)


class FinetuneSettings(TaskSettings):
    """Settings of a finetuning run (SGD with momentum, cosine schedule to zero).

    Attributes:
        epochs: passes over the labelled images.
        batch_size: at most this many; fewer where there are fewer images.
        backbone_learning_rate, head_learning_rate: at the start of the cosine.
        momentum, weight_decay: of SGD.
        crop_scale: range of the crop's area; crops and flips are the only augmentation.
    """

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=1)
    backbone_learning_rate: float = Field(gt=0)
    head_learning_rate: float = Field(gt=0)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    crop_scale: tuple[float, float] = (0.3, 1.0)


class Classifier(nn.Module):
    """A backbone and a fresh linear head behind the backbone's own preprocessing."""

    def __init__(self, job: TransferJob, classes: int) -> None:
        super().__init__()
        self.prepare = Preprocess(job.backbone.card.preprocessing)
        self.backbone = job.backbone.build()
        self.head = nn.Linear(int(self.backbone.num_features), classes)  # type: ignore[arg-type]
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, 3, S, S), uint8 or float in [0, 1]."""
        prepared = self.prepare(images).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.head(self.backbone(prepared))
        return logits


def finetune(job: TransferJob, labelled: ImageSplit, settings: FinetuneSettings) -> tuple[Classifier, int]:
    """Train every layer on the labelled images; return the model and the number of images seen.

    Raises:
        UserError: the loss is no longer finite.
    """
    classes, device = len(job.dataset.classes), job.device
    size = job.backbone.card.preprocessing.image_size
    generator = torch.Generator().manual_seed(job.seed)
    model = Classifier(job, classes).to(device, memory_format=torch.channels_last)
    groups: list[dict[str, Any]] = [
        {"params": list(model.backbone.parameters()), "lr": settings.backbone_learning_rate},
        {"params": list(model.head.parameters()), "lr": settings.head_learning_rate},
    ]
    optimiser = torch.optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.weight_decay)
    count = len(labelled)
    batch_size = min(settings.batch_size, count)
    per_epoch = count // batch_size  # the incomplete batch is dropped: its batch norm would be noise
    total = settings.epochs * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / total))
    )
    model.train()
    step = 0
    for _ in range(settings.epochs):
        order = torch.randperm(count, generator=generator)
        for indices in torch.split(order[: per_epoch * batch_size], batch_size):
            images, labels = labelled.images[indices], labelled.labels[indices].to(device)
            crops = draw_crops(
                batch_size, (images.shape[-2], images.shape[-1]), settings.crop_scale, ASPECT, generator
            )
            flipped = torch.rand(batch_size, generator=generator) < 0.5
            views = resized_crops(images, crops, size, flipped).to(device)
            loss = F.cross_entropy(model(views), labels)
            if not torch.isfinite(loss):
                rate = schedule.get_last_lr()[0]
                raise UserError(
                    f"finetuning diverged at step {step} (backbone learning rate {rate:g}); "
                    f"lower backbone_learning_rate or head_learning_rate of {job.protocol.id}"
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            step += 1
            job.report(step, total, f"loss {loss.item():.2f}")
    return model, total * batch_size


@torch.inference_mode()
def scores(model: Classifier, images: Tensor, job: TransferJob) -> Tensor:
    """Return logits (N, classes) on the CPU for stored uint8 images, centre-cropped."""
    model.eval()
    size = job.backbone.card.preprocessing.image_size
    batches = torch.split(images, EVALUATION_BATCH)
    return torch.cat([model(centre_crop(batch, size).to(job.device)).float().cpu() for batch in batches])
