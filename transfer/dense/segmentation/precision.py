"""Training in bfloat16 or float16 by autocast; weights, logits and losses stay in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from mmbench.transfer.compute import PRECISIONS, Precision


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """mmengine's wrapper with forward passes under autocast, on any device and without scaled gradients.

    mmengine's AmpOptimWrapper refuses to run on a CPU.

    Args:
        device_type: of the training, such as "cpu".
        dtype: name of the precision.
    """

    def __init__(self, *, device_type: str, dtype: Precision, **others: Any) -> None:
        super().__init__(**others)
        self.device_type, self.dtype = device_type, PRECISIONS[dtype]

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute a loss within."""
        with super().optim_context(model), torch.autocast(self.device_type, self.dtype):
            yield


def optim_wrapper(precision: Precision, device: torch.device) -> dict[str, Any]:
    """Return the type of mmengine's optimizer wrapper; float16 needs scaled gradients."""
    if precision == "float32":
        return {"type": "OptimWrapper"}
    if precision == "float16":
        return {"type": "AmpOptimWrapper", "dtype": precision}
    return {"type": "AutocastOptimWrapper", "device_type": device.type, "dtype": precision}


def exact_logits(model: nn.Module) -> None:
    """Let the classifiers of all heads return float32, so that logits are resized and compared exactly."""
    for name, module in model.named_modules():
        if name.rpartition(".")[2] == "conv_seg":
            module.register_forward_hook(_to_float)


def _to_float(module: nn.Module, given: Any, logits: Tensor) -> Tensor:
    return logits.float()
