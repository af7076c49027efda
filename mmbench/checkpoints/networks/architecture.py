"""Recognise the architecture by names and shapes, and check that a checkpoint covers it completely."""

from __future__ import annotations

import functools
import re

import torch
from torch import Tensor

from mmbench.checkpoints.networks.own_networks import own_tensors
from mmbench.checkpoints.networks.plain import COUNTER, Shapes
from mmbench.errors import UserError, unknown_name

SOME_CLASSES = 1000  # a network has its classifier, whatever their number
DEPTH = re.compile(r"resnet(\d+)")


@functools.cache
def wanted_shapes(arch: str) -> Shapes:
    """Return name -> shape of every tensor of the headless architecture, without allocating it.

    Raises:
        UserError: timm has no such architecture (near match named).
    """
    if (own := own_tensors(arch)) is not None:
        return own
    return shapes_of(_on_meta(arch, 0))


@functools.cache
def with_classifier(arch: str) -> frozenset[str]:
    """Return the names of all tensors of the architecture with its classifier, of however many classes.

    Raises:
        UserError: timm has no such architecture (near match named).
    """
    return frozenset(_on_meta(arch, SOME_CLASSES))


@functools.cache
def whole_numbers(arch: str) -> frozenset[str]:
    """Return the names of the headless architecture's tensors that hold whole numbers, such as indices.

    Raises:
        UserError: timm has no such architecture (near match named).
    """
    if own_tensors(arch) is not None:
        return frozenset()  # counters only
    numbers = _on_meta(arch, 0).items()
    return frozenset(name for name, t in numbers if not t.is_floating_point() and not t.is_complex())


@functools.cache
def _on_meta(arch: str, classes: int) -> dict[str, Tensor]:
    """Return name -> tensor without values of timm's network; it is not allocated."""
    import timm

    if not timm.is_model(arch):
        raise unknown_name("architecture", arch, timm.list_models("*resn*t*"))
    with torch.device("meta"):
        state: dict[str, Tensor] = timm.create_model(arch, pretrained=False, num_classes=classes).state_dict()
    return state


def mismatches(wanted: Shapes, found: Shapes) -> list[str]:
    """Return what keeps the tensors found from being exactly those wanted, one phrase per kind."""
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    misshapen = [
        f"{name} {found[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen))
    return [
        f"{len(names)} {kind} ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})"
        for kind, names in kinds
        if names
    ]


def shapes_of(tensors: dict[str, Tensor]) -> Shapes:
    """Return name -> shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def differences(arch: str, tensors: dict[str, Tensor]) -> list[str]:
    """Return what keeps the tensors from being exactly this architecture, one phrase per kind.

    Counters of batch norms may be missing (old files have none): no output depends on them.
    """
    found, wanted = shapes_of(tensors), wanted_shapes(arch)
    absent = {name for name in wanted if name.endswith(COUNTER) and name not in found}
    return mismatches({name: shape for name, shape in wanted.items() if name not in absent}, found)


def _distance(arch: str, tensors: dict[str, Tensor]) -> int:
    wanted = wanted_shapes(arch)
    equal = sum(1 for n, shape in wanted.items() if n in tensors and tuple(tensors[n].shape) == shape)
    return len(wanted) + len(tensors) - 2 * equal


def _likely_first(names: list[str], tensors: dict[str, Tensor]) -> list[str]:
    """Order names by how near the depth in them is to the tensors': building a candidate takes time."""
    depth = 1 + sum(tensor.ndim == 4 and "downsample" not in name for name, tensor in tensors.items())
    small = "conv1.weight" in tensors and tensors["conv1.weight"].shape[-1] == 3

    def unlikeliness(name: str) -> tuple[int, bool]:
        number = DEPTH.search(name)
        return abs(int(number[1]) - depth) if number else depth, name.endswith("_cifar") != small

    return sorted(names, key=unlikeliness)


def recognise(tensors: dict[str, Tensor], what: str, candidates: str = "mixmask_*") -> str:
    """Return the one of our architectures that the tensors cover exactly.

    Args:
        candidates: pattern of timm names.

    Raises:
        UserError: none; the message names the nearest and what does not fit.
    """
    import timm

    names = _likely_first(timm.list_models(candidates), tensors)
    for name in names:
        if not differences(name, tensors):
            return name
    nearest: str = min(names, key=lambda name: _distance(name, tensors))
    raise UserError(
        f"{what} is none of {', '.join(sorted(names))}; nearest is {nearest}: "
        f"{'; '.join(differences(nearest, tensors))}; if it is another timm network, name it by --arch"
    )
