"""Batches of evaluated images."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmbench.transfer.dense.common.reading import TestLoader


@given(
    sizes=st.lists(st.tuples(st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=12),
    batch=st.integers(1, 5),
)
def test_only_images_of_equal_size_share_a_batch(sizes: list[tuple[int, int]], batch: int) -> None:
    loader = TestLoader(lambda index: {"index": index}, len(sizes), batch_size=batch, sizes=sizes)
    found = [[item["index"] for item in part] for part in loader]
    assert len(found) == len(loader) == sum(-(-sizes.count(size) // batch) for size in set(sizes))
    assert sorted(index for part in found for index in part) == list(range(len(sizes)))
    for part in found:
        assert len({sizes[index] for index in part}) == 1 and len(part) <= batch and part == sorted(part)


def test_without_sizes_images_come_in_order() -> None:
    loader = TestLoader(lambda index: {"index": index}, 5, batch_size=2)
    assert [[item["index"] for item in part] for part in loader] == [[0, 1], [2, 3], [4]]
