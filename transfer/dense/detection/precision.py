"""Training in bfloat16 or float16 by autocast; weights, losses and places of boxes stay in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from detectron2.layers import ROIAlign
from torch import Tensor, nn

from mmbench.transfer.compute import PRECISIONS, Precision


@contextlib.contextmanager
def autocast_forward(model: nn.Module, device: torch.device, precision: Precision) -> Iterator[None]:
    """Run the model's forward passes under autocast; backward passes follow the precision of each operation.

    On a GPU Detectron2's AMPTrainer does this already.
    """
    if precision == "float32" or device.type == "cuda":
        yield
        return
    model.forward = torch.autocast(device.type, PRECISIONS[precision])(model.forward)
    try:
        yield
    finally:
        del model.forward  # the class's own is there again


def exact_places(model: nn.Module) -> None:
    """Let every ROIAlign of the model compute in float32.

    Detectron2 rounds the corners of boxes to the precision of the features. In bfloat16, whose numbers have
    eight bits, a corner at 1000 px would move by up to 2 px.
    """
    for module in model.modules():
        if isinstance(module, ROIAlign):
            module.register_forward_pre_hook(_to_float)
            module.register_forward_hook(_as_features)


def _to_float(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    module.__dict__["dtype_of_features"] = given[0].dtype
    return tuple(tensor.float() for tensor in given)


def _as_features(module: nn.Module, given: Any, pooled: Tensor) -> Tensor:
    return pooled.to(module.__dict__["dtype_of_features"])
