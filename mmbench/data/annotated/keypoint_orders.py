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
    """Return the first names of keypoints that a category states."""
    for content in contents:
        for category in content.categories:
            if names := stated_keypoints(category.entry):
                return names
    return ()


def orders_of(content: CocoContent, names: Sequence[str]) -> KeypointOrders:
    """Return where the categories of a file have the keypoints of a data set, matched by name."""
    orders: dict[Hashable, tuple[int, ...] | None] = {}
    for category in content.categories:
        stated = stated_keypoints(category.entry)
        if not stated:
            continue
        same = len(set(stated)) == len(stated) and set(stated) == set(names)
        order = tuple(stated.index(name) for name in names) if same else None
        if stated == tuple(names):  # also where a name occurs twice
            order = tuple(range(len(names)))
        orders |= {plain_id(key): order for key in category.ids}
    return KeypointOrders(tuple(names), orders)
