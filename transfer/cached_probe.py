"""The linear probe on features taken once: multinomial logistic regression at its optimum, by L-BFGS."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.data.dataset import Split
from mmbench.transfer.accuracy import classification_metrics
from mmbench.transfer.features import extract
from mmbench.transfer.linear_settings import CachedProbe
from mmbench.transfer.task import Measurement, TransferJob

L_BFGS_HISTORY = 20


class Head(NamedTuple):
    """A linear classifier: weight (classes, C), bias (classes,)."""

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
        features: float32, (N, C).
        labels: int64, (N,).
    """
    width = features.shape[1]
    weight = torch.zeros(classes, width) if start is None else start.weight.clone()
    bias = torch.zeros(classes) if start is None else start.bias.clone()
    optimiser = torch.optim.LBFGS(
        [weight.requires_grad_(), bias.requires_grad_()],
        max_iter=settings.iterations,
        tolerance_grad=settings.tolerance,
        history_size=L_BFGS_HISTORY,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(F.linear(features, weight, bias), labels)
        loss = loss + weight_decay / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[arg-type]
    steps = int(optimiser.state[weight]["n_iter"])
    return Head(weight.detach(), bias.detach(), converged=steps < settings.iterations)


def standardise(reference: Tensor, *others: Tensor) -> list[Tensor]:
    """Return all tensors (N, C) shifted and scaled by the mean and deviation of the first."""
    mean, deviation = reference.mean(dim=0), reference.std(dim=0).clamp_min(1e-6)
    return [(features - mean) / deviation for features in (reference, *others)]


def measure_cached(job: TransferJob, settings: CachedProbe) -> Measurement:
    """Choose the weight decay on val, refit on train and val, measure once on the evaluated split."""
    evaluated: Split = job.protocol.split  # type: ignore[assignment]
    splits = {name: job.dataset.split(name) for name in ("train", "val", evaluated)}  # type: ignore[arg-type]
    classes = len(job.dataset.classes)
    decays = sorted(settings.weight_decays, reverse=True)
    total = len(splits) + len(decays) + 1
    features = {}
    for done, (name, split) in enumerate(splits.items()):
        job.report(done, total, f"features of {name}")
        features[name] = extract(job.backbone, split.images, job.device)

    train, val = standardise(features["train"], features["val"])
    accuracies, heads = [], []
    for done, decay in enumerate(decays):
        job.report(len(splits) + done, total, f"weight decay {decay:g}")
        # From strong to weak decay, each fit starts where the one before it ended.
        start = heads[-1] if heads else None
        heads.append(fit_linear(train, splits["train"].labels, classes, decay, settings, start))
        hits = heads[-1].scores(val).argmax(dim=1) == splits["val"].labels
        accuracies.append(float(hits.float().mean()))
    # Of equal accuracies the first one counts: the strongest decay.
    best = max(range(len(decays)), key=accuracies.__getitem__)

    job.report(total - 1, total, "fit on train and val")
    refitted = ("train",) if evaluated == "val" else ("train", "val")
    final, test = standardise(torch.cat([features[name] for name in refitted]), features[evaluated])
    labels = torch.cat([splits[name].labels for name in refitted])
    head = fit_linear(final, labels, classes, decays[best], settings, heads[best])
    job.report(total, total, "done")
    words = f"weight decay {decays[best]:g} chosen on val among {len(decays)}"
    notes = [f"{words}, then fitted on {' and '.join(refitted)}"]
    if not head.converged:
        notes.append(f"the last fit was stopped after {settings.iterations} iterations")
    return Measurement(
        metrics=classification_metrics(head.scores(test), splits[evaluated].labels),
        split_sizes={name: len(split) for name, split in splits.items()},
        images_seen=sum(len(split) for split in splits.values()),
        notes=tuple(notes),
    )
