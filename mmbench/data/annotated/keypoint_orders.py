"""The keypoints of a data set, and in which order each category of a COCO file has them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmbench.data.annotated.coco_json import CocoContent, plain_id


@dataclass(frozen=True)
class KeypointOrders:
    """Where each category has the keypoints of the data set.

    Attributes:
        names: the data set's keypoints; none are read where there are none.
        orders: by category id (as `plain_id` gives it), for each of `names` its index in the category; None
            for categories that name other keypoints. Categories that name none have the data set's order.
    """

    names: tuple[str, ...]
    orders: Mapping[Hashable, tuple[int, ...] | None]

    def of(self, category: Any) -> tuple[int, ...] | None:
        """Return the order of a category."""
        return self.orders.get(plain_id(category), tuple(range(len(self.names))))


def stated_keypoints(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of keypoints that a category states; none where it states none."""
    names = entry.get("keypoints")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(name.strip() for name in names)


def found_keypoints(contents: Iterable[CocoContent]) -> tuple[str, ...]:
    """Return the first names of keypoints that a category states; one with objects comes first."""
    categories = [category for content in contents for category in content.categories]
    for category in sorted(categories, key=lambda category: not category.boxes):
        for names in map(stated_keypoints, category.entries):
            if names:
                return names
    return ()


def orders_of(content: CocoContent, names: Sequence[str]) -> KeypointOrders:
    """Return where the categories of a file have the keypoints of a data set, matched by name."""
    orders: dict[Hashable, tuple[int, ...] | None] = {}
    for category in content.categories:
        for key, entry in zip(category.ids, category.entries, strict=True):
            if stated := stated_keypoints(entry):
                orders[plain_id(key)] = _order(stated, tuple(names))
    return KeypointOrders(tuple(names), orders)


def _order(stated: tuple[str, ...], names: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return the index of each name among those that are stated; None if these are others."""
    if stated == names:  # also where a name occurs twice
        return tuple(range(len(names)))
    same = len(set(stated)) == len(stated) and set(stated) == set(names)
    return tuple(map(stated.index, names)) if same else None
