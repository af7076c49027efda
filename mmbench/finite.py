"""Checks that weights and outputs are finite after training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@torch.no_grad()
def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first floating-point tensor that holds a NaN or an infinity, None if none does.

    The results stay on their device until all are there, so that a GPU is synchronised once.
    """
    floating = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    if not floating:
        return None
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in floating.values()]).tolist()
    return next((name for name, sound in zip(floating, finite, strict=True) if not sound), None)


class OutputWatch:
    """Detects a NaN or an infinity in the outputs of modules while the `with` block runs.

    Finite weights that are far too large give outputs that are not finite: such boxes are dropped and such
    pixels get some class, so the metric would be meaningless.

    Attributes:
        met: whether there was one; read it once, after the block, since it synchronises the device.
    """

    def __init__(self, *modules: nn.Module) -> None:
        self._modules = modules
        self._handles: list[RemovableHandle] = []
        self._found: list[Tensor] = []

    def __enter__(self) -> OutputWatch:
        self._handles = [module.register_forward_hook(self._look) for module in self._modules]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _look(self, module: nn.Module, arguments: Any, returned: Any) -> None:
        bad = [~torch.isfinite(tensor).all() for tensor in _tensors(returned) if tensor.is_floating_point()]
        self._found = [torch.stack([*self._found, *bad]).any()] if self._found or bad else []

    @property
    def met(self) -> bool:
        """Whether any output so far was not finite."""
        return any(bool(found) for found in self._found)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)
