"""Proof of a conversion: the target library's own model gives the source's features at every stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.images.timm_config import fixed_size
from mmbench.checkpoints.networks.network import timm_stages
from mmbench.checkpoints.target import Target
from mmbench.errors import UserError
from mmbench.images.preprocessing import high_pass

TOLERANCE = 1e-5  # relative, float32; different kernels and orders of summation stay far below it
SIDE = 64

DRAWS = (Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_)


class WithoutDraws(TorchFunctionMode):
    """New weights stay uninitialised: drawing numbers that loading replaces takes a third of the time."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, unless it fills a tensor with random numbers."""
        if func in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def fixed_batch(side: int = SIDE) -> Tensor:
    """Return the images (2, 3, side, side) that every comparison uses; a wide filter needs larger ones."""
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Return max |found - expected| / max |expected|."""
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


def compare(backbone: Backbone, target: Target, path: Path) -> dict[str, float]:
    """Return the relative error after every stage; the deepest stage is called "stage N".

    Where the target's network holds the high-pass filter, the source's images are filtered before they enter
    the source's network. Libraries that give no stem map are compared from the first stage on.

    Raises:
        UserError: a shape differs, an error exceeds 1e-5, or the source's own features are not finite.
    """
    filter_ = None if backbone.high_pass is None else backbone.card.preprocessing.high_pass
    smallest = SIDE if filter_ is None else max(SIDE, 32 * math.ceil(filter_.kernel_size / 32))
    images = fixed_batch(fixed_size(backbone.arch) or smallest)
    with WithoutDraws():
        source = backbone.build().eval()
        found = target.features(backbone, path, images)
    expected = timm_stages(source, images if filter_ is None else high_pass(images, filter_))
    skipped = len(expected) - len(found)
    errors: dict[str, float] = {}
    for number, (ours, theirs) in enumerate(zip(expected[skipped:], found, strict=True), start=skipped):
        stage = "stem" if number == 0 else f"stage {number}"
        if ours.shape != theirs.shape:
            raise UserError(
                f"{target.name}'s {stage} gives {tuple(theirs.shape)}, the source {tuple(ours.shape)}"
            )
        if not torch.isfinite(ours).all():
            raise UserError(
                f"the source's own {stage} overflows on a fixed batch, so nothing can be compared: these are "
                "not the weights of a trained network; --no-verify converts them anyway"
            )
        errors[stage] = relative_error(theirs, ours)
        if not errors[stage] <= TOLERANCE:  # also where it is NaN
            raise UserError(
                f"converted to {target.name}, {stage} differs by {errors[stage]:.2e} (relative; at most "
                f"{TOLERANCE:g} is allowed): the conversion was not kept"
            )
    return errors
