"""Class-balanced draws: label subsets for semi-supervised runs, and held-out splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmbench.errors import UserError
from mmbench.file_names import printable


def class_balanced_subset(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Return sorted indices of a class-balanced draw.

    Every class gives round(fraction x its images). The draw depends on the labels, the fraction and the
    seed alone, not on the machine.

    Args:
        labels: int64, (N,).
        fraction: share in (0, 1].
        seed: another seed draws another subset.

    Raises:
        UserError: a fraction out of range, or one that leaves a class without a single image.
    """
    require_share(labels, fraction)
    rng = np.random.default_rng(seed)
    chosen = []
    for label in torch.unique(labels).tolist():
        members = np.flatnonzero(labels.numpy() == label)
        chosen.append(rng.permutation(members)[: round(fraction * len(members))])
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def require_share(labels: Tensor, fraction: float, classes: Sequence[str] = ()) -> None:
    """Check that a share of the labels leaves every class an image.

    Args:
        labels: int64, (N,).
        fraction: share in (0, 1].
        classes: names for the message.

    Raises:
        UserError: it does not, or is out of range.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"a label fraction must lie in (0, 1], not {fraction}")
    for label, count in _counts(labels):
        if round(fraction * count) == 0:
            raise UserError(
                f"{100 * fraction:g}% of class {_named(label, classes)} is less than one image (it has "
                f"{count}); use a larger fraction"
            )


def _counts(labels: Tensor) -> list[tuple[int, int]]:
    """Return (label, number of images) of every class that has images."""
    return [(label, count) for label, count in enumerate(labels.bincount().tolist()) if count]


def _named(label: int, classes: Sequence[str]) -> str:
    """Return what a message calls a class."""
    return f"'{printable(classes[label])}'" if classes else str(label)


def split_by_class(labels: Tensor, shares: Sequence[float], seed: int) -> list[Tensor]:
    """Split indices class by class: first what remains, then one part per share (at least one image each).

    Args:
        labels: int64, (N,).
        shares: shares of each class for the second part, the third, ...
        seed: seeds the draw.

    Returns:
        Sorted index tensors: the remainder, then one per share; together they are a partition.

    Raises:
        UserError: a class has too few images to give one to every part.
    """
    rng = np.random.default_rng(seed)
    parts: list[list[np.ndarray[tuple[int], np.dtype[np.int64]]]] = [[] for _ in range(len(shares) + 1)]
    for label in torch.unique(labels).tolist():
        members = rng.permutation(np.flatnonzero(labels.numpy() == label))
        counts = [max(1, round(share * len(members))) for share in shares]
        if sum(counts) >= len(members):
            raise UserError(
                f"class {label} has only {len(members)} images, too few for {len(parts)} splits; "
                "add images or give train, val and test folders"
            )
        start = 0
        for part, count in zip(parts[1:], counts, strict=True):
            part.append(members[start : start + count])
            start += count
        parts[0].append(members[start:])
    return [torch.from_numpy(np.sort(np.concatenate(part))) for part in parts]


def shots_per_class(labels: Tensor, shots: int, seed: int) -> Tensor:
    """Return sorted indices of `shots` images of every class; more shots of one seed contain fewer.

    Args:
        labels: int64, (N,).
        shots: images per class.
        seed: another seed draws others.

    Raises:
        UserError: a class has fewer images.
    """
    require_shots(labels, shots)
    rng = np.random.default_rng(seed)
    chosen = []
    for label in torch.unique(labels).tolist():
        members = np.flatnonzero(labels.numpy() == label)
        chosen.append(rng.permutation(members)[:shots])
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def require_shots(labels: Tensor, shots: int, classes: Sequence[str] = ()) -> None:
    """Check that every class has at least `shots` images.

    Args:
        labels: int64, (N,).
        shots: images per class.
        classes: names for the message.

    Raises:
        UserError: a class has fewer.
    """
    for label, count in _counts(labels):
        if count < shots:
            raise UserError(
                f"{shots} labelled images per class asked for, but class {_named(label, classes)} has "
                f"{count}; remove this number with --set shots=[...]"
            )
