"""Splits that a manifest draws from an official part, the same on every machine."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from mmbench.data.manifest import Manifest, SplitRule, index_digest
from mmbench.data.subsets import shots_per_class, split_by_class
from mmbench.data.types import ImageSplit, Split
from mmbench.errors import UserError


def splits_of_parts(
    known: Manifest, read: Callable[[str], ImageSplit]
) -> dict[str, Callable[[], ImageSplit]]:
    """Return how each split of a data set in memory is read: an official part, or what is drawn from one.

    Args:
        read: from the name of an official part to all of it; the last part read is kept.
    """
    whole = functools.lru_cache(maxsize=1)(read)

    def split(name: Split) -> ImageSplit:
        rule = known.splits[name]
        images = whole(rule.part)
        if rule.rule == "whole":
            return images
        indices = drawn(known, rule.part, images.labels)[name]
        return ImageSplit(images.images[indices], images.labels[indices])

    return {name: functools.partial(split, name) for name in known.splits}


def drawn(known: Manifest, part: str, labels: Tensor) -> dict[Split, Tensor]:
    """Return the sorted indices of every split that comes from the official part.

    Each class is permuted, and held-out splits take their images from its front, in the manifest's order.

    Raises:
        UserError: a class has too few images; the held-out indices are not those of the manifest.
    """
    rules = {split: rule for split, rule in known.splits.items() if rule.part == part}
    held = {split: rule for split, rule in rules.items() if rule.rule == "held_out"}
    rest: Split | None = next((split for split, rule in rules.items() if rule.rule == "remainder"), None)
    if rest is None:
        return {split: torch.arange(len(labels)) for split in rules}
    parts = _by_share(held, labels) if all(rule.share for rule in held.values()) else _by_count(held, labels)
    found = dict(zip([rest, *held], parts, strict=True))
    committed = known.draws.val if known.draws is not None and "val" in held else None
    if committed is not None and index_digest(found["val"]) != committed:
        raise UserError(
            f"the val split drawn from the {part} part of {known.name} is not that of its manifest; images "
            "per class or numpy's generator differ, unpack the archive again or install another numpy"
        )
    return found


def _by_share(held: dict[Split, SplitRule], labels: Tensor) -> list[Tensor]:
    seed = next(iter(held.values())).seed
    return split_by_class(labels, [rule.share or 0.0 for rule in held.values()], seed=seed or 0)


def _by_count(held: dict[Split, SplitRule], labels: Tensor) -> list[Tensor]:
    taken = torch.zeros(len(labels), dtype=torch.bool)
    parts, shots = [], 0
    least = int(labels.bincount().min())
    if least <= sum(rule.per_class or 0 for rule in held.values()):
        raise UserError(f"a class has only {least} images, too few to draw from; unpack the archive again")
    for rule in held.values():
        shots += rule.per_class or 0
        chosen = torch.zeros_like(taken)
        chosen[shots_per_class(labels, shots, seed=rule.seed or 0)] = True
        parts.append((chosen & ~taken).nonzero().flatten())
        taken |= chosen
    return [(~taken).nonzero().flatten(), *parts]
