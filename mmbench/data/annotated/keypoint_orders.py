"""The keypoints of a data set, and in which order each category of a COCO file has them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmbench.data.annotated.coco_json import Category, CocoContent, plain_id
from mmbench.data.annotated.findings import Action
from mmbench.file_names import composed, listed, printable

MOST_NAMES = 6  # that a message lists


@dataclass(frozen=True)
class Keypoints:
    """The keypoints of a data set.

    Attributes:
        names: in the order of an object's numbers; empty if none are read.
        source: what names them, in words.
    """

    names: tuple[str, ...] = ()
    source: str = "the data set"


@dataclass(frozen=True)
class KeypointOrder:
    """Where a category has the keypoints of the data set.

    Attributes:
        indices: for each keypoint of the data set its index in the category; None if it has others.
        finding: what `Findings.add` takes before the place, for each object whose keypoints are not read as
            the category states them in the order of the data set; None if they are.
    """

    indices: tuple[int, ...] | None
    finding: tuple[str, str, Action, str] | None = None


@dataclass(frozen=True)
class KeypointOrders:
    """Where each category has the keypoints of the data set.

    Attributes:
        names: the data set's keypoints; none are read where there are none.
        orders: by category id, as `plain_id` gives it.
    """

    names: tuple[str, ...] = ()
    orders: Mapping[Hashable, KeypointOrder] = field(default_factory=dict)

    def of(self, category: Any) -> KeypointOrder:
        """Return the order of a category that the file lists."""
        return self.orders[plain_id(category)]


def stated_keypoints(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of keypoints that a category states; none where it states none."""
    names = entry.get("keypoints")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(composed(name).strip() for name in names)


def found_keypoints(contents: Iterable[CocoContent]) -> Keypoints:
    """Return the first keypoints that a category names; one with objects comes first."""
    categories = [(content, category) for content in contents for category in content.categories]
    for content, category in sorted(categories, key=lambda pair: not pair[1].boxes):
        for names in map(stated_keypoints, category.entries):
            if names:
                return Keypoints(names, _source(content, category))
    return Keypoints()


def orders_of(content: CocoContent, keypoints: Keypoints) -> KeypointOrders:
    """Return where the categories of a file have the keypoints of a data set, matched by name."""
    orders = {
        plain_id(key): _order(stated_keypoints(entry), _source(content, category), keypoints)
        for category in content.categories
        for key, entry in zip(category.ids, category.entries, strict=True)
    }
    return KeypointOrders(keypoints.names, orders)


def _source(content: CocoContent, category: Category) -> str:
    """Return a category and its file in words."""
    return f"'{printable(category.name)}' of {printable('/'.join(content.path.parts[-2:]))}"


def _order(stated: tuple[str, ...], source: str, keypoints: Keypoints) -> KeypointOrder:
    """Return the order of a category.

    Args:
        stated: the keypoints that it names.
        source: it, in words.
    """
    names = tuple(composed(name).strip() for name in keypoints.names)
    as_stated = tuple(range(len(names)))
    if stated == names:  # also where a name occurs twice
        return KeypointOrder(as_stated)
    if not stated:
        one = "object with keypoints whose category does not name them"
        many = "objects with keypoints whose category does not name them"
        remedy = (
            f"{source} names none: read as {listed(names, MOST_NAMES)}, in the order of {keypoints.source}"
        )
        return KeypointOrder(as_stated, (one, many, "converted", remedy))
    if len(set(stated)) == len(stated) and set(stated) == set(names):
        one, many = "object's keypoints in another order", "objects' keypoints in another order"
        remedy = f"those of {source} are matched by name with those of {keypoints.source}"
        return KeypointOrder(tuple(map(stated.index, names)), (one, many, "converted", remedy))
    one, many = "object's keypoints of other names", "objects' keypoints of other names"
    remedy = f"the boxes are kept; {_difference(stated, source, names, keypoints.source)}; name them alike"
    return KeypointOrder(None, (one, many, "dropped", remedy))


def _difference(stated: tuple[str, ...], source: str, names: tuple[str, ...], other: str) -> str:
    """Return in words how the keypoints of a category differ from others, in more than their order."""
    lacking = [name for name in names if name not in stated]
    more = [name for name in stated if name not in names]
    differences = [f"lacks {listed(lacking, MOST_NAMES)} of {other}"] if lacking else []
    differences += [f"has {listed(more, MOST_NAMES)}, which {other} has not"] if more else []
    return f"{source} {' and '.join(differences) or f'names a keypoint twice, unlike {other}'}"
