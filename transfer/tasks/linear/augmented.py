"""The linear probe on augmented images: the backbone runs in every step, only the head learns.

Source: MoCo (He et al. 2020), section 4.1; facebookresearch/moco, main_lincls.py. Under several processes
each runs the backbone on its part of the batch; all of them train the same head on all features.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from mmbench.errors import UserError
from mmbench.finite import first_not_finite
from mmbench.transfer.inputs.batches import Batching, training_batches
from mmbench.transfer.inputs.features import FrozenNetwork
from mmbench.transfer.inputs.images import Images
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import require_finite
from mmbench.transfer.probes.refit import measurement, split_labels
from mmbench.transfer.resume import state_of
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
    batching = Batching(len(train), settings.batch_size, settings.epochs, whole_batches=False)
    batches = training_batches(train, batching, settings.crop_rule(), job.device, generator, job.seed)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, [epoch * batching.per_epoch for epoch in settings.decay_epochs], settings.decay_factor
    )
    parts = {"head": head, "optimiser": optimiser, "schedule": schedule, "batches": batches}
    job.unfinished.restore(parts)
    for batch in batches:
        features = network.shared(batch.inputs, len(batch.indices))
        loss = F.cross_entropy(head(features), batch.labels)
        epoch = (batches.step - 1) // batching.per_epoch + 1
        if not torch.isfinite(loss):
            raise UserError(f"the linear head diverged in epoch {epoch}; {_lower_rate(job, settings)}")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        job.report(batches.step, batching.steps, f"epoch {epoch}, loss {loss.item():.2f}")
        job.unfinished.after_step(batches.step, lambda: state_of(parts))
    job.unfinished.after_training(batches.step, lambda: state_of(parts))
    # The loss is that before each step: what the last step did shows only in the weights.
    if first_not_finite(head.state_dict()) is not None:
        raise UserError(f"the linear head diverged in the last step; {_lower_rate(job, settings)}")
    return head


def _lower_rate(job: TransferJob, settings: AugmentedProbe) -> str:
    rate = settings.learning_rate / 10
    return f"lower learning_rate of {job.protocol.id}, such as --set learning_rate={rate:g}"


def measure_augmented(job: TransferJob, settings: AugmentedProbe) -> Measurement:
    """Train the head on train, measure it after the last epoch on the evaluated split."""
    train = job.images("train")
    network = FrozenNetwork(job.backbone, job.compute)
    head = train_head(job, network, train, settings)
    network.check_frozen()
    labels = split_labels(job, "train")
    with torch.inference_mode():
        scores = head.cpu()(job.features(job.evaluated).float())
    require_finite(scores, _lower_rate(job, settings))
    return replace(
        measurement(job, scores, labels),
        effective_lr=settings.learning_rate,
        images_seen=settings.epochs * len(train) + len(scores),
        from_bank=False,
    )
