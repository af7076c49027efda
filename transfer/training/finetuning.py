"""Finetuning of every layer, for the semi-supervised and the full protocols.

Under several processes each takes its part of every batch: gradients are averaged and batch norm runs on the
whole batch, so the result is that of one process, up to the order of sums.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.batch_norm import BatchNormSettings, arrange_batch_norm
from mmbench.checkpoints.backbone import feature_width, require_takes
from mmbench.distributed import any_process, gather_shares, in_parallel, own_share, process_count
from mmbench.errors import UserError
from mmbench.finite import first_not_finite
from mmbench.images.preprocessing import Preprocess
from mmbench.narrow_maps import float32_where_narrow
from mmbench.transfer.inputs.batches import Batching, TrainingBatches, training_batches
from mmbench.transfer.inputs.images import Images
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import require_finite
from mmbench.transfer.outcomes import classified
from mmbench.transfer.resume import state_of
from mmbench.transfer.training.schedule import rate_factor
from mmbench.transfer.training.settings import FinetuneSettings

EVALUATION_BATCH = 128
HEAD = ("head.weight", "head.bias")


class Classifier(nn.Module):
    """A backbone and a fresh linear head behind the backbone's own preprocessing."""

    def __init__(self, job: TransferJob, classes: int) -> None:
        super().__init__()
        self.compute = job.compute
        self.prepare = Preprocess(job.backbone.card.preprocessing)
        self.backbone = job.backbone.build()
        require_takes(self.backbone, job.backbone.arch, job.backbone.card.preprocessing.image_size)
        self.head = nn.Linear(feature_width(self.backbone), classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        weights = {f"backbone.{name}": tensor for name, tensor in job.backbone.state_dict.items()}
        missing, unexpected = self.load_state_dict(weights, strict=False)
        if tuple(missing) != HEAD or unexpected:
            raise RuntimeError(f"beside the head, {missing} were missing and {unexpected} were left over")

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, 3, S, S), uint8 or float in [0, 1]."""
        prepared = self.prepare(images).contiguous(memory_format=torch.channels_last)
        with self.compute.autocast():
            logits: Tensor = self.head(self.backbone(prepared))
        return logits.float()


class Finetuned(NamedTuple):
    """The outcome of a finetuning run.

    Attributes:
        images_seen: images through the network, counted with repetitions.
        labels_used: distinct images that took part in a step.
    """

    model: Classifier
    images_seen: int
    labels_used: int


def finetune(job: TransferJob, labelled: Images, settings: FinetuneSettings) -> Finetuned:
    """Train every layer on crops and flips of the labelled images.

    Batch norm runs on batch statistics, so an incomplete batch at the end of an epoch is left out.

    Raises:
        UserError: the loss or a weight is no longer finite; a batch that the processes cannot share evenly.
    """
    generator = torch.Generator().manual_seed(job.seed)
    batching = Batching(len(labelled), settings.batch_size, settings.epochs, whole_batches=True)
    batch_size = min(settings.batch_size, len(labelled))
    if batch_size % process_count():
        raise UserError(
            f"a batch of {batch_size} images cannot be shared evenly by {process_count()} processes; "
            "start fewer, or change batch_size by --set"
        )
    # Architectures with dropout or stochastic depth draw from the global generator.
    with torch.random.fork_rng(devices=[job.device] if job.device.type == "cuda" else []):
        torch.manual_seed(job.seed)
        model = Classifier(job, len(job.dataset.classes)).to(job.device)
        model = model.to(memory_format=torch.channels_last)
        model = cast(Classifier, arrange_batch_norm(model, BatchNormSettings(synchronised=True), job.device))
        float32_where_narrow(model)
        batches = training_batches(labelled, batching, settings.crop_rule(), job.device, generator, job.seed)
        used = _train(job, model, batches, settings)
    return Finetuned(model, batching.steps * batch_size, int(used.sum()))


def _train(
    job: TransferJob, model: Classifier, batches: TrainingBatches, settings: FinetuneSettings
) -> Tensor:
    """Take the remaining steps; return which images took part in one, bool (N,)."""
    groups: list[dict[str, Any]] = [
        {"params": list(model.backbone.parameters()), "lr": settings.backbone_learning_rate},
        {"params": list(model.head.parameters()), "lr": settings.head_learning_rate},
    ]
    optimiser = torch.optim.SGD(
        groups, momentum=settings.momentum, weight_decay=settings.weight_decay, nesterov=settings.nesterov
    )
    batching = batches.batching
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: rate_factor(step, batching.per_epoch, settings)
    )
    scaler = torch.amp.GradScaler(job.device.type, enabled=job.compute.precision == "float16")
    parts = {
        "model": model,
        "optimiser": optimiser,
        "schedule": schedule,
        "scaler": scaler,
        "batches": batches,
    }
    used = torch.zeros(batching.count, dtype=torch.bool)
    saved = job.unfinished.restore(parts)
    if saved is not None:
        used |= saved["used"].cpu()
        torch.set_rng_state(saved["random"].cpu())

    def state() -> dict[str, Any]:
        return {**state_of(parts), "used": used, "random": torch.get_rng_state()}

    parallel = in_parallel(model, job.device)
    model.train()
    for batch in batches:
        used[batch.indices] = True
        loss = F.cross_entropy(parallel(batch.inputs), batch.labels[batch.own])
        if any_process([not torch.isfinite(loss)], job.device)[0]:
            raise UserError(
                f"finetuning diverged at step {batches.step - 1} (backbone learning rate "
                f"{schedule.get_last_lr()[0]:g}); {_lower_rates(job, settings)}"
            )
        optimiser.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        schedule.step()
        job.report(batches.step, batching.steps, f"loss {loss.item():.2f}")
        job.unfinished.after_step(batches.step, state)
    job.unfinished.after_training(batches.step, state)
    # The loss is that before each step: what the last step did shows only in the weights.
    if (broken := first_not_finite(model.state_dict())) is not None:
        raise UserError(
            f"finetuning diverged in the last step ({broken} is not finite); {_lower_rates(job, settings)}"
        )
    return used


def _lower_rates(job: TransferJob, settings: FinetuneSettings) -> str:
    backbone, head = settings.backbone_learning_rate / 10, settings.head_learning_rate / 10
    return (
        f"lower the rates of {job.protocol.id}, such as --set backbone_learning_rate={backbone:g} "
        f"--set head_learning_rate={head:g}"
    )


def finetune_and_measure(
    job: TransferJob, labelled: Images, test: Images, settings: FinetuneSettings
) -> Measurement:
    """Finetune on the labelled images, measure once on `test`, the evaluated split."""
    model, seen, used = finetune(job, labelled, settings)
    found = classified(job, predict(model, test, job), logits=True)
    return Measurement(
        metrics=found.metrics,
        confusion=found.confusion,
        split_sizes={"train": used, job.evaluated: len(test)},
        effective_lr=settings.backbone_learning_rate,
        images_seen=seen + len(test),
        notes=found.notes,
        outcomes=found.outcomes,
    )


@torch.inference_mode()
def predict(model: Classifier, images: Images, job: TransferJob) -> Tensor:
    """Return logits (N, classes) on the CPU, of the centre crops of images; processes share the work."""
    model.eval()
    batches = torch.arange(len(images)).split(EVALUATION_BATCH * process_count())
    crops = images.centre_crops(indices[own_share(len(indices))] for indices in batches)
    found = []
    for indices in batches:
        own = next(crops).to(job.device, non_blocking=True)
        logits = model(own) if len(own) else torch.zeros((0, len(job.dataset.classes)), device=job.device)
        found.append(gather_shares(logits, len(indices)).cpu())
    scores = torch.cat(found)
    lower = "--set backbone_learning_rate=... --set head_learning_rate=..."
    require_finite(scores, f"finetuning diverged; lower the rates of {job.protocol.id} by {lower}")
    return scores
