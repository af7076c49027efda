"""The optimiser, its learning rate, and how that follows the batch."""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.optim.lars import Lars

from mmbench.pretrain.framework import Framework
from mmbench.pretrain.section_settings import OptimiserSettings

TRUST = 1e-3  # LARS's trust coefficient, as in the code of SimCLR and of BYOL


def learning_rate(step: int, steps_per_epoch: int, epochs: int, settings: OptimiserSettings) -> float:
    """Return the learning rate of step `step` (from 0): linear warm-up, then half a cosine to zero.

    A warm-up that ends within a step has reached the peak in that step.
    """
    warmup, total = settings.warmup_epochs * steps_per_epoch, epochs * steps_per_epoch
    if step < warmup:
        return settings.lr * min(1.0, (step + 1) / warmup)
    progress = (step - warmup) / max(1.0, total - warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * progress))


def make_optimiser(framework: Framework, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Return the optimiser of all parameters that take a gradient.

    Parameters whose rate the framework keeps constant form a second group, marked by "constant_lr".
    """
    constant = {id(parameter) for parameter in framework.constant_lr_parameters()}
    trained = [parameter for parameter in framework.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trained if id(parameter) not in constant]}
    ]
    if constant:
        kept = [parameter for parameter in trained if id(parameter) in constant]
        groups.append({"params": kept, "constant_lr": True})
    if settings.name == "lars":
        groups = [part for group in groups for part in _adapted_and_not(group, settings.weight_decay)]
        lars: torch.optim.Optimizer = Lars(
            groups, lr=settings.lr, momentum=settings.momentum, trust_coeff=TRUST
        )
        return lars
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    return torch.optim.SGD(
        groups,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def _adapted_and_not(group: dict[str, Any], weight_decay: float) -> list[dict[str, Any]]:
    """Return a group's weights, which LARS adapts, and its biases and norms, which follow plain SGD."""
    weights = [parameter for parameter in group["params"] if parameter.ndim > 1]
    others = [parameter for parameter in group["params"] if parameter.ndim <= 1]
    return [
        {**group, "params": weights, "weight_decay": weight_decay, "always_adapt": True},
        {**group, "params": others, "weight_decay": 0.0, "always_adapt": False},
    ]


def set_learning_rate(optimiser: torch.optim.Optimizer, lr: float) -> None:
    """Give all groups but the constant ones the learning rate of the step."""
    for group in optimiser.param_groups:
        if not group.get("constant_lr"):
            group["lr"] = lr
