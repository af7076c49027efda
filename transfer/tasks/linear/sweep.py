"""The linear sweep: many heads at once, on features taken once or on augmented images; val chooses one.

Under several processes each runs the backbone on its part of the batch; all of them train the same heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.transfer.inputs.batches import Plan, Views, open_views
from mmbench.transfer.inputs.features import FrozenNetwork
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, confusion, require_finite
from mmbench.transfer.tasks.edges import best_of, edge_note, edge_of
from mmbench.transfer.tasks.linear.heads import HeadRecipe, LinearHeads, recipes
from mmbench.transfer.tasks.linear.settings import SweepProbe
from mmbench.transfer.tasks.schedule import rate_factor

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


def train_on_features(job: TransferJob, features: Tensor, settings: SweepProbe) -> LinearHeads:
    """Return every head of the sweep, trained on the features (N, C) of train."""
    generator = torch.Generator().manual_seed(job.seed)
    heads = new_heads(job, settings, features.shape[1], generator)
    labels = job.dataset.labels("train")
    plan = _plan(len(labels), settings)
    order = torch.empty(0, dtype=torch.int64)
    first, saved = 0, job.unfinished.state()
    if saved is not None:
        heads.load_state_dict(saved["heads"])
        generator.set_state(saved["generator"].cpu())
        first, order = saved["step"], saved["order"].cpu()

    def state() -> dict[str, Any]:
        generated = generator.get_state()
        return {"heads": heads.state_dict(), "generator": generated, "order": order, "step": step + 1}

    for step in range(first, plan.steps):
        if step % plan.per_epoch == 0:
            order = torch.randperm(plan.count, generator=generator)
        indices = plan.rows(order, step)
        heads.step(
            features[indices].to(job.device).float(),
            labels[indices].to(job.device),
            rate_factor(step, plan.per_epoch, settings),
        )
        if step % 20 == 0 or step + 1 == plan.steps:
            job.report(step + 1, plan.steps, _words(heads, step, plan))
        job.unfinished.after_step(step + 1, state)
    if first < plan.steps:
        job.unfinished.after_training(plan.steps, state)
    return heads


def train_on_views(job: TransferJob, network: FrozenNetwork, settings: SweepProbe) -> LinearHeads:
    """Return every head of the sweep, trained on new crops of train; the network only runs."""
    generator = torch.Generator().manual_seed(job.seed)
    heads = new_heads(job, settings, network.width, generator)
    train = job.images("train")
    plan = _plan(len(train), settings)
    views: Views = open_views(train, plan, settings.crop_scale, job.device, generator, job.seed)
    saved = job.unfinished.state()
    if saved is not None:
        heads.load_state_dict(saved["heads"])
        views.restore(saved["views"])

    def state() -> dict[str, Any]:
        return {"heads": heads.state_dict(), "views": views.state()}

    for batch in views:
        features = network.shared(batch.views, len(batch.indices))
        step = views.step - 1
        heads.step(features, batch.labels, rate_factor(step, plan.per_epoch, settings))
        job.report(views.step, plan.steps, _words(heads, step, plan))
        job.unfinished.after_step(views.step, state)
    job.unfinished.after_training(views.step, state)
    return heads


def _plan(count: int, settings: SweepProbe) -> Plan:
    return Plan(count, settings.batch_size, settings.epochs, whole_batches=True)


def _words(heads: LinearHeads, step: int, plan: Plan) -> str:
    return f"{len(heads.recipes)} heads, epoch {step // plan.per_epoch + 1}"


def measure_sweep(job: TransferJob, settings: SweepProbe) -> Measurement:
    """Train all heads on train, choose one by top-1 on val, measure that one on the evaluated split.

    Raises:
        UserError: every head diverged.
    """
    evaluated = job.evaluated
    splits: tuple[Split, ...] = tuple(dict.fromkeys(("train", "val", evaluated)))
    labels = {split: job.dataset.labels(split) for split in splits}
    if settings.augmented:
        network = FrozenNetwork(job.backbone, job.compute)
        heads = train_on_views(job, network, settings)
        network.check_frozen()
    else:
        heads = train_on_features(job, job.features("train"), settings)
    val = job.features("val")
    accuracies = heads.accuracies(val, labels["val"])
    best = max(range(len(accuracies)), key=accuracies.__getitem__)  # of equal ones the first
    if accuracies[best] == 0 and not bool(torch.isfinite(heads.weight).flatten(1).all(dim=1).any()):
        raise UserError(f"every head of {job.protocol.id} diverged; give smaller {SMALLER_RATES}")
    scores = torch.cat(list(_logits(heads, best, job.features(evaluated))))
    require_finite(scores, f"the head diverged; give smaller {SMALLER_RATES}")
    passes = settings.epochs if settings.augmented else 1
    return Measurement(
        metrics=classification_metrics(scores, labels[evaluated], logits=True),
        split_sizes={split: len(labels[split]) for split in splits},
        effective_lr=heads.recipes[best].learning_rate,
        images_seen=passes * len(labels["train"]) + sum(len(labels[split]) for split in splits[1:]),
        notes=(
            f"{heads.recipes[best]} chosen on val among {len(accuracies)} heads "
            f"(val top-1 {100 * min(accuracies):.1f} to {100 * accuracies[best]:.1f})",
            *_edges(settings, heads.recipes, accuracies, best),
        ),
        confusion=confusion(scores, labels[evaluated]),
        from_bank=not settings.augmented,
    )


def _edges(
    settings: SweepProbe, recipes: Sequence[HeadRecipe], accuracies: Sequence[float], best: int
) -> tuple[str, ...]:
    """Return a note for the learning rate and the weight decay, if the chosen one is at an edge."""
    by_rate = best_of([recipe.learning_rate for recipe in recipes], accuracies)
    by_decay = best_of([recipe.weight_decay for recipe in recipes], accuracies)
    chosen, rates, decays = recipes[best], settings.learning_rates, settings.weight_decays
    rate = edge_of(by_rate, chosen.learning_rate, rates)
    decay = edge_of(by_decay, chosen.weight_decay, decays, least=0)
    return (
        *edge_note("learning rate", "learning_rates", rate, rates),
        *edge_note("weight decay", "weight_decays", decay, decays),
    )


def _logits(heads: LinearHeads, head: int, features: Tensor) -> Iterator[Tensor]:
    """Yield the logits of one head, on the CPU."""
    for part in torch.split(features, 4096):
        yield heads.logits(part.to(heads.weight.device).float(), head).cpu()
