"""The linear sweep: many heads at once, on features taken once or on augmented images; val chooses one.

Under several processes each runs the backbone on its part of the batch; all of them train the same heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from mmbench.errors import UserError
from mmbench.transfer.inputs.batches import Batching, FeatureBatches, TrainingBatches, training_batches
from mmbench.transfer.inputs.features import FrozenNetwork
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import require_finite
from mmbench.transfer.probes.refit import measurement, split_labels
from mmbench.transfer.probes.selection import Axis, Choice
from mmbench.transfer.resume import state_of
from mmbench.transfer.tasks.linear.heads import HeadRecipe, LinearHeads, recipes
from mmbench.transfer.tasks.linear.settings import SweepProbe
from mmbench.transfer.training.schedule import rate_factor

SMALLER_RATES = "learning_rates by --set learning_rates=[0.001,0.003,0.01]"


def new_heads(job: TransferJob, settings: SweepProbe, width: int, generator: torch.Generator) -> LinearHeads:
    """Return the sweep's heads, untrained, for features of `width` numbers."""
    return LinearHeads(
        recipes(settings.learning_rates, settings.weight_decays, settings.batch_norm),
        width,
        len(job.dataset.classes),
        settings.momentum,
        generator,
        job.device,
    )


def train_heads(
    job: TransferJob, settings: SweepProbe, features: Tensor | None, network: FrozenNetwork | None
) -> LinearHeads:
    """Return every head of the sweep, trained on the features of train, or on new crops of its images.

    Args:
        features: (N, C) of train.
        network: runs on the crops where there are no features.
    """
    generator = torch.Generator().manual_seed(job.seed)
    batches: TrainingBatches
    if features is not None:
        heads = new_heads(job, settings, features.shape[1], generator)
        labels = job.dataset.labels("train")
        batches = FeatureBatches(features, labels, _batching(len(labels), settings), job.device, generator)
    else:
        assert network is not None
        heads = new_heads(job, settings, network.width, generator)
        train = job.images("train")
        batching = _batching(len(train), settings)
        batches = training_batches(train, batching, settings.crop_rule(), job.device, generator, job.seed)
    parts = {"heads": heads, "batches": batches}
    job.unfinished.restore(parts)
    batching = batches.batching
    for batch in batches:
        step, inputs = batches.step - 1, batch.inputs
        seen = inputs if network is None else network.shared(inputs, len(batch.indices))
        heads.step(seen, batch.labels, rate_factor(step, batching.per_epoch, settings))
        progress = f"{len(heads.recipes)} heads, epoch {step // batching.per_epoch + 1}"
        job.report(batches.step, batching.steps, progress)
        job.unfinished.after_step(batches.step, lambda: state_of(parts))
    job.unfinished.after_training(batches.step, lambda: state_of(parts))
    return heads


def _batching(count: int, settings: SweepProbe) -> Batching:
    return Batching(count, settings.batch_size, settings.epochs, whole_batches=True)


def measure_sweep(job: TransferJob, settings: SweepProbe) -> Measurement:
    """Train all heads on train, choose one by top-1 on val, measure that one on the evaluated split.

    Raises:
        UserError: every head diverged.
    """
    labels = split_labels(job, "train", "val")
    if settings.augmented:
        network = FrozenNetwork(job.backbone, job.compute)
        heads = train_heads(job, settings, None, network)
        network.check_frozen()
    else:
        heads = train_heads(job, settings, job.features("train"), None)
    choice = Choice(heads.recipes, heads.accuracies(job.features("val"), labels["val"]))
    best = choice.scores[choice.index]
    if best == 0 and not bool(torch.isfinite(heads.weight).flatten(1).all(dim=1).any()):
        raise UserError(f"every head of {job.protocol.id} diverged; give smaller {SMALLER_RATES}")
    scores = torch.cat(list(_logits(heads, choice.index, job.features(job.evaluated))))
    require_finite(scores, f"the head diverged; give smaller {SMALLER_RATES}")
    rates: Axis[HeadRecipe] = Axis(
        "learning rate", "learning_rates", settings.learning_rates, lambda recipe: recipe.learning_rate
    )
    decays: Axis[HeadRecipe] = Axis(
        "weight decay", "weight_decays", settings.weight_decays, lambda recipe: recipe.weight_decay, least=0
    )
    notes = (
        f"{choice.chosen} chosen on val among {len(choice.scores)} heads "
        f"(val top-1 {100 * min(choice.scores):.1f} to {100 * best:.1f})",
        *choice.edge_notes(rates, decays),
    )
    measured = measurement(job, scores, labels, notes=notes)
    assert measured.images_seen is not None
    passes = settings.epochs if settings.augmented else 1  # over train
    return replace(
        measured,
        effective_lr=choice.chosen.learning_rate,
        images_seen=measured.images_seen + (passes - 1) * len(labels["train"]),
        from_bank=not settings.augmented,
    )


def _logits(heads: LinearHeads, head: int, features: Tensor) -> Iterator[Tensor]:
    """Yield the logits of one head, on the CPU."""
    for part in torch.split(features, 4096):
        yield heads.logits(part.to(heads.weight.device).float(), head).cpu()
