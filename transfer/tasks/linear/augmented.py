"""The linear probe on augmented images: the backbone runs in every step, only the head learns.

Source: MoCo (He et al. 2020), section 4.1; facebookresearch/moco, main_lincls.py. Under several processes
each runs the backbone on its part of the batch; all of them train the same head on all features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from mmbench.errors import UserError
from mmbench.finite import first_not_finite
from mmbench.transfer.inputs.batches import Plan, open_views
from mmbench.transfer.inputs.features import FrozenNetwork
from mmbench.transfer.inputs.images import Images
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, confusion, require_finite
from mmbench.transfer.tasks.linear.heads import HEAD_STD
from mmbench.transfer.tasks.linear.settings import AugmentedProbe


def train_head(
    job: TransferJob, network: FrozenNetwork, train: Images, settings: AugmentedProbe
) -> nn.Linear:
    """Return the head trained on crops and flips of `train`; the network only runs.

    Raises:
        UserError: the loss is no longer finite.
    """
    generator = torch.Generator().manual_seed(job.seed)
    head = nn.Linear(network.width, len(job.dataset.classes))
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * HEAD_STD)
        head.bias.zero_()
    head.to(job.device)
    optimiser = torch.optim.SGD(
        head.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    plan = Plan(len(train), settings.batch_size, settings.epochs, whole_batches=False)
    views = open_views(train, plan, settings.crop_scale, job.device, generator, job.seed)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, [epoch * plan.per_epoch for epoch in settings.decay_epochs], settings.decay_factor
    )
    parts: dict[str, Any] = {"head": head, "optimiser": optimiser, "schedule": schedule}
    saved = job.unfinished.state()
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        views.restore(saved["views"])

    def state() -> dict[str, Any]:
        return {**{name: part.state_dict() for name, part in parts.items()}, "views": views.state()}

    for batch in views:
        features = network.shared(batch.views, len(batch.indices))
        loss = F.cross_entropy(head(features), batch.labels)
        epoch = (views.step - 1) // plan.per_epoch + 1
        if not torch.isfinite(loss):
            raise UserError(f"the linear head diverged in epoch {epoch}; {_lower_rate(job, settings)}")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        job.report(views.step, plan.steps, f"epoch {epoch}, loss {loss.item():.2f}")
        job.unfinished.after_step(views.step, state)
    job.unfinished.after_training(views.step, state)
    # The loss is that before each step: what the last step did shows only in the weights.
    if first_not_finite(head.state_dict()) is not None:
        raise UserError(f"the linear head diverged in the last step; {_lower_rate(job, settings)}")
    return head


def _lower_rate(job: TransferJob, settings: AugmentedProbe) -> str:
    rate = settings.learning_rate / 10
    return f"lower learning_rate of {job.protocol.id}, such as --set learning_rate={rate:g}"


def measure_augmented(job: TransferJob, settings: AugmentedProbe) -> Measurement:
    """Train the head on train, measure it after the last epoch on the evaluated split."""
    evaluated, train = job.evaluated, job.images("train")
    network = FrozenNetwork(job.backbone, job.compute)
    head = train_head(job, network, train, settings)
    network.check_frozen()
    labels = job.dataset.labels(evaluated)
    with torch.inference_mode():
        scores = head.cpu()(job.features(evaluated).float())
    require_finite(scores, _lower_rate(job, settings))
    return Measurement(
        metrics=classification_metrics(scores, labels, logits=True),
        confusion=confusion(scores, labels),
        split_sizes={"train": len(train), evaluated: len(labels)},
        effective_lr=settings.learning_rate,
        images_seen=settings.epochs * len(train) + len(labels),
    )
