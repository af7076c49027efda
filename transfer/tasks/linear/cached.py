"""The linear probe on features taken once: multinomial logistic regression at its optimum, by L-BFGS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.data.types import Split
from mmbench.distributed import on_main
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import classification_metrics, confusion, percent_correct, require_finite
from mmbench.transfer.tasks.edges import edge_note, edge_of
from mmbench.transfer.tasks.linear.settings import CachedProbe

L_BFGS_HISTORY = 20


class Head(NamedTuple):
    """A linear classifier: weight (classes, C), bias (classes,).

    Attributes:
        converged: whether every entry of the gradient is within the tolerance.
    """

    weight: Tensor
    bias: Tensor
    converged: bool = True

    def scores(self, features: Tensor) -> Tensor:
        """Return logits (N, classes) of features (N, C)."""
        return F.linear(features, self.weight, self.bias)


def fit_linear(
    features: Tensor,
    labels: Tensor,
    classes: int,
    weight_decay: float,
    settings: CachedProbe,
    start: Head | None = None,
) -> Head:
    """Return the head that minimises the regularised multinomial loss.

    The loss is mean cross-entropy + weight_decay / 2 * |weight|^2; the bias is free. It is convex, so the
    result depends neither on a seed nor on a learning rate, and `start` only saves time.

    Args:
        features: (N, C), float32; float64 where the optimum is wanted to more than about 1e-4.
        labels: int64, (N,).
    """
    width = features.shape[1]
    weight = torch.zeros(classes, width, dtype=features.dtype) if start is None else start.weight.clone()
    bias = torch.zeros(classes, dtype=features.dtype) if start is None else start.bias.clone()
    optimiser = torch.optim.LBFGS(
        [weight.requires_grad_(), bias.requires_grad_()],
        max_iter=settings.iterations,
        max_eval=2 * settings.iterations,
        tolerance_grad=settings.tolerance,
        tolerance_change=1e-14,  # a small step is no reason to stop, only a loss that stands still
        history_size=L_BFGS_HISTORY,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(F.linear(features, weight, bias), labels)
        loss = loss + weight_decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    closure()
    assert weight.grad is not None and bias.grad is not None
    steepest = max(float(weight.grad.abs().max()), float(bias.grad.abs().max()))
    return Head(weight.detach(), bias.detach(), converged=steepest <= settings.tolerance)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (C,) float32 of features (N, C), which are read piece by piece."""
    count, width = features.shape
    total, squares = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    for part in torch.split(features, 16384):
        total += part.double().sum(dim=0)
    mean = total / count
    for part in torch.split(features, 16384):
        squares += (part.double() - mean).square().sum(dim=0)
    return mean.float(), (squares / max(1, count - 1)).sqrt().clamp_min(1e-6).float()


def standardise(reference: Tensor, *others: Tensor) -> list[Tensor]:
    """Return all tensors (N, C) shifted and scaled by the mean and deviation of the first."""
    mean, deviation = moments(reference)
    return [(features - mean) / deviation for features in (reference, *others)]


def measure_cached(job: TransferJob, settings: CachedProbe) -> Measurement:
    """Choose the weight decay on val, refit on train and val, measure once on the evaluated split."""
    splits: tuple[Split, ...] = tuple(dict.fromkeys(("train", "val", job.evaluated)))
    features = {split: job.features(split).float() for split in splits}
    labels = {split: job.dataset.labels(split) for split in splits}
    return on_main(lambda: _measure(job, settings, features, labels))


def _measure(
    job: TransferJob, settings: CachedProbe, features: Mapping[Split, Tensor], labels: Mapping[Split, Tensor]
) -> Measurement:
    evaluated, classes = job.evaluated, len(job.dataset.classes)
    decays = sorted(settings.weight_decays, reverse=True)
    total = len(decays) + 1
    train, val = standardise(features["train"], features["val"])
    accuracies: list[float] = []
    heads: list[Head] = []
    best = 0
    for done, decay in enumerate(decays):
        job.report(done, total, f"weight decay {decay:g}")
        # From strong to weak decay, each fit starts where the one before it ended.
        heads.append(
            fit_linear(train, labels["train"], classes, decay, settings, heads[-1] if heads else None)
        )
        accuracies.append(percent_correct(heads[-1].scores(val).argmax(dim=1), labels["val"]))
        if accuracies[done] > accuracies[best]:
            best = done  # of equal accuracies the strongest decay counts
        if done - best == settings.patience:
            break

    job.report(total - 1, total, "fit on train and val")
    refitted: tuple[Split, ...] = ("train",) if evaluated == "val" else ("train", "val")
    final, test = standardise(torch.cat([features[name] for name in refitted]), features[evaluated])
    both = torch.cat([labels[name] for name in refitted])
    head = fit_linear(final, both, classes, decays[best], settings, heads[best])
    job.report(total, total, "done")
    words = f"weight decay {decays[best]:g} chosen on val among {len(heads)}"
    edge = edge_of(dict(zip(decays, accuracies, strict=False)), decays[best], decays, least=0)
    notes = [
        f"{words}, then fitted on {' and '.join(refitted)}",
        *edge_note("weight decay", "weight_decays", edge, decays),
    ]
    if not head.converged:
        notes.append(f"the last fit was stopped after {settings.iterations} iterations")
    scores = head.scores(test)
    require_finite(scores, "the fit overflowed; give stronger decays by --set weight_decays=[1.0,0.1,0.01]")
    return Measurement(
        metrics=classification_metrics(scores, labels[evaluated], logits=True),
        confusion=confusion(scores, labels[evaluated]),
        from_bank=True,
        split_sizes={split: len(part) for split, part in labels.items()},
        images_seen=sum(len(part) for part in labels.values()),
        notes=tuple(notes),
    )
