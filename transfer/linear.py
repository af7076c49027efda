"""Task `linear`: a linear classifier on frozen features, by L-BFGS on features taken once."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from mmbench.data.dataset import Split
from mmbench.transfer.accuracy import classification_metrics
from mmbench.transfer.features import extract
from mmbench.transfer.task import Measurement, TaskSettings, TransferJob, task


class LinearSettings(TaskSettings):
    """Settings of the linear probe.

    Attributes:
        weight_decays: candidates; the one with the best top-1 on val is kept, then fitted on train and val.
        iterations: most L-BFGS iterations per fit.
        tolerance: a fit ends when the largest gradient entry falls below it.
    """

    weight_decays: tuple[float, ...] = Field(min_length=1)
    iterations: int = Field(default=200, gt=0)
    tolerance: float = Field(default=1e-5, gt=0)


def fit_linear(
    features: Tensor, labels: Tensor, classes: int, weight_decay: float, settings: LinearSettings
) -> tuple[Tensor, Tensor]:
    """Return weight (classes, C) and bias (classes,) that minimise the regularised multinomial loss.

    The loss is mean cross-entropy + weight_decay / 2 * |weight|^2; the bias is free. It is convex, so the
    result depends neither on a seed nor on a learning rate.
    """
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=settings.iterations,
        tolerance_grad=settings.tolerance,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(F.linear(features, weight, bias), labels)
        loss = loss + weight_decay / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[arg-type]
    return weight.detach(), bias.detach()


def standardise(reference: Tensor, *others: Tensor) -> list[Tensor]:
    """Return all tensors (N, C) shifted and scaled by the mean and deviation of the first."""
    mean, deviation = reference.mean(dim=0), reference.std(dim=0).clamp_min(1e-6)
    return [(features - mean) / deviation for features in (reference, *others)]


@task("linear", LinearSettings, default_protocol="linear/patterns@1", accepts_pixels=True)
def linear(job: TransferJob, settings: LinearSettings) -> Measurement:
    """Choose the weight decay on val, refit on train and val, measure once on the evaluated split."""
    evaluated: Split = job.protocol.split  # type: ignore[assignment]
    splits = {name: job.dataset.split(name) for name in ("train", "val", evaluated)}  # type: ignore[arg-type]
    before = {name: tensor.clone() for name, tensor in job.backbone.state_dict.items()}
    total = len(splits) + len(settings.weight_decays) + 1
    features = {}
    for done, (name, split) in enumerate(splits.items()):
        job.report(done, total, f"features of {name}")
        features[name] = extract(job.backbone, split.images, job.device)
    frozen = all(torch.equal(tensor, job.backbone.state_dict[name]) for name, tensor in before.items())
    assert frozen, "a linear probe must not change the backbone"

    train, val = standardise(features["train"], features["val"])
    classes = len(job.dataset.classes)
    accuracies = []
    for done, decay in enumerate(settings.weight_decays):
        job.report(len(splits) + done, total, f"weight decay {decay:g}")
        weight, bias = fit_linear(train, splits["train"].labels, classes, decay, settings)
        scores = F.linear(val, weight, bias)
        accuracies.append(float((scores.argmax(dim=1) == splits["val"].labels).float().mean()))
    best = settings.weight_decays[max(range(len(accuracies)), key=accuracies.__getitem__)]

    refitted = ("train",) if evaluated == "val" else ("train", "val")
    final, test = standardise(torch.cat([features[name] for name in refitted]), features[evaluated])
    final_labels = torch.cat([splits[name].labels for name in refitted])
    weight, bias = fit_linear(final, final_labels, classes, best, settings)
    job.report(total, total, "done")
    return Measurement(
        metrics=classification_metrics(F.linear(test, weight, bias), splits[evaluated].labels),
        split_sizes={name: len(split) for name, split in splits.items()},
        images_seen=sum(len(split) for split in splits.values()),
        notes=(f"weight decay {best:g} chosen on val among {len(accuracies)}, fitted on {' and '.join(refitted)}",),
    )
