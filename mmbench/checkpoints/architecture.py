"""Tell the architecture from names and shapes, and check that a checkpoint covers it wholly."""

from __future__ import annotations

import functools

import timm
import torch
from torch import Tensor

from mmbench.errors import UserError, unknown_name

CANDIDATES = ("mixmask_resnet*",)
COUNTER = "num_batches_tracked"


@functools.cache
def wanted_shapes(arch: str) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor of the headless architecture, without allocating it.

    Raises:
        UserError: timm knows no such architecture (near match named).
    """
    if not timm.is_model(arch):
        raise unknown_name("architecture", arch, timm.list_models("*resn*t*"))
    with torch.device("meta"):
        model = timm.create_model(arch, pretrained=False, num_classes=0)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def differences(arch: str, tensors: dict[str, Tensor]) -> list[str]:
    """Return what keeps the tensors from being exactly this architecture, one phrase per kind.

    Counters of batch norms may be missing (old files have none): no output depends on them.
    """
    wanted = wanted_shapes(arch)
    missing = [n for n in wanted if n not in tensors and not n.endswith(COUNTER)]
    unexpected = [n for n in tensors if n not in wanted]
    misshapen = [
        f"{n} {tuple(tensors[n].shape)} instead of {shape}"
        for n, shape in wanted.items()
        if n in tensors and tuple(tensors[n].shape) != shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
    return [
        f"{len(names)} {kind} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"
        for kind, names in kinds
        if names
    ]


def _distance(arch: str, tensors: dict[str, Tensor]) -> int:
    wanted = wanted_shapes(arch)
    equal = sum(1 for n, shape in wanted.items() if n in tensors and tuple(tensors[n].shape) == shape)
    return len(wanted) + len(tensors) - 2 * equal


def recognise(tensors: dict[str, Tensor], what: str) -> str:
    """Return the one of our architectures that the tensors cover exactly.

    Raises:
        UserError: none; the message names the nearest and what does not fit.
    """
    names = [name for pattern in CANDIDATES for name in timm.list_models(pattern)]
    nearest: str = min(names, key=lambda name: _distance(name, tensors))
    problems = differences(nearest, tensors)
    if problems:
        raise UserError(
            f"{what} is none of {', '.join(names)}; nearest is {nearest}: {'; '.join(problems)}; "
            "if it is another timm network, name it by --arch"
        )
    return nearest
