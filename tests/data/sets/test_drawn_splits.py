"""Splits drawn from official parts, compared with draws by hand."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mmbench.data.manifest import Manifest, require_manifest
from mmbench.data.sets.drawn_splits import drawn
from mmbench.errors import UserError

LABELS = torch.tensor([2, 0, 1, 0, 2, 1, 0, 1, 2] * 12)  # 36 of each class, mixed


def by_hand(count: Callable[[int], int], seed: int = 0) -> list[int]:
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in range(3):
        members = np.array([index for index, one in enumerate(LABELS.tolist()) if one == label])
        chosen += generator.permutation(members)[: count(len(members))].tolist()
    return sorted(chosen)


def without_hashes(name: str) -> Manifest:
    return require_manifest(name).model_copy(update={"draws": None})


def test_a_share_of_each_class() -> None:
    found = drawn(without_hashes("food101"), "train", LABELS)
    assert found["val"].tolist() == by_hand(lambda size: round(0.1 * size))
    assert sorted(torch.cat(list(found.values())).tolist()) == list(range(108))
    assert drawn(without_hashes("food101"), "test", LABELS)["test"].tolist() == list(range(108))


def test_numbers_of_each_class() -> None:
    found = drawn(without_hashes("caltech101"), "all", LABELS)
    assert found["train"].tolist() == by_hand(lambda size: 25)
    both = sorted(torch.cat([found["train"], found["val"]]).tolist())
    assert both == by_hand(lambda size: 30)
    assert found["test"].tolist() == sorted(set(range(108)) - set(both))
    with pytest.raises(UserError, match="a class has only 28 images, too few to draw from"):
        drawn(without_hashes("caltech101"), "all", LABELS[:84])


def test_the_seed_is_the_manifests() -> None:
    known = without_hashes("food101")
    rules = dict(known.splits) | {"val": known.splits["val"].model_copy(update={"seed": 3})}
    found = drawn(known.model_copy(update={"splits": rules}), "train", LABELS)
    assert found["val"].tolist() == by_hand(lambda size: round(0.1 * size), seed=3)


@pytest.mark.parametrize(
    ("name", "classes", "per_class"), [("food101", 101, 750), ("sun397", 397, 50), ("stl10", 10, 500)]
)
def test_the_committed_hash_is_compared(name: str, classes: int, per_class: int) -> None:
    known = require_manifest(name)
    assert known.draws is not None
    labels = torch.arange(classes).repeat_interleave(per_class)
    val = drawn(known, "train", labels)["val"]
    assert hashlib.sha256(val.numpy().astype("<i8").tobytes()).hexdigest() == known.draws.val
    with pytest.raises(UserError, match=f"val split drawn from the train part of {name} is not that of"):
        drawn(known, "train", labels.flip(0)[: -per_class // 2].flip(0))
