"""The linear probe on augmented images: the backbone runs in every step, only the head learns.

Source: MoCo (He et al. 2020), section 4.1; facebookresearch/moco, main_lincls.py.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from mmbench.data import ImageSplit
from mmbench.data.dataset import Split
from mmbench.errors import UserError
from mmbench.transfer.accuracy import classification_metrics, confusion
from mmbench.transfer.augment import augment
from mmbench.transfer.features import FrozenNetwork
from mmbench.transfer.heads import HEAD_STD
from mmbench.transfer.linear_settings import AugmentedProbe
from mmbench.transfer.task import Measurement, TransferJob


def train_head(
    job: TransferJob, network: FrozenNetwork, train: ImageSplit, settings: AugmentedProbe
) -> nn.Linear:
    """Return the head trained on crops and flips of `train`; the network only runs.

    Raises:
        UserError: the loss is no longer finite.
    """
    size = job.backbone.card.preprocessing.image_size
    generator = torch.Generator().manual_seed(job.seed)
    with torch.no_grad():
        width = network(torch.zeros(1, 3, size, size, device=job.device)).shape[1]
        head = nn.Linear(width, len(job.dataset.classes))
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * HEAD_STD)
        head.bias.zero_()
    head.to(job.device)
    optimiser = torch.optim.SGD(
        head.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, list(settings.decay_epochs), settings.decay_factor
    )
    per_epoch = -(-len(train) // settings.batch_size)
    total, step = settings.epochs * per_epoch, 0
    for epoch in range(settings.epochs):
        order = torch.randperm(len(train), generator=generator)
        for indices in torch.split(order, settings.batch_size):
            with torch.no_grad():
                views = augment(train.images[indices], size, settings.crop_scale, generator, job.device)
                features = network(views)
            loss = F.cross_entropy(head(features), train.labels[indices].to(job.device))
            if not torch.isfinite(loss):
                raise UserError(
                    f"the linear head diverged in epoch {epoch + 1}; lower learning_rate of {job.protocol.id}"
                )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
            job.report(step, total, f"epoch {epoch + 1}, loss {loss.item():.2f}")
        schedule.step()
    return head


def measure_augmented(job: TransferJob, settings: AugmentedProbe) -> Measurement:
    """Train the head on train, measure it after the last epoch on the evaluated split."""
    evaluated: Split = job.protocol.split  # type: ignore[assignment]
    train, test = job.dataset.split("train"), job.dataset.split(evaluated)
    network = FrozenNetwork(job.backbone, job.device)
    head = train_head(job, network, train, settings)
    network.check_frozen()
    with torch.inference_mode():
        scores = head.cpu()(job.features(evaluated).float())
    return Measurement(
        metrics=classification_metrics(scores, test.labels, logits=True),
        confusion=confusion(scores, test.labels),
        split_sizes={"train": len(train), evaluated: len(test)},
        effective_lr=settings.learning_rate,
        images_seen=settings.epochs * len(train) + len(test),
    )
