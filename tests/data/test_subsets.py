import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.data.subsets import class_balanced_subset, require_share, require_shots, split_by_class
from mmbench.errors import UserError

BALANCED = torch.arange(10).repeat_interleave(400)
PINNED = [6, 7, 8, 11, 12, 19]
counts = st.lists(st.integers(4, 40), min_size=1, max_size=6)


def shuffled(sizes: list[int], seed: int) -> torch.Tensor:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return torch.from_numpy(np.random.default_rng(seed).permutation(labels))


def test_one_percent_of_4000_is_four_of_each_class():
    chosen = class_balanced_subset(BALANCED, 0.01, seed=0)
    assert len(chosen) == 40
    assert BALANCED[chosen].bincount().tolist() == [4] * 10


def test_the_draw_is_the_same_on_every_machine():
    labels = torch.arange(3).repeat(8)
    assert class_balanced_subset(labels, 0.25, seed=0).tolist() == PINNED
    assert class_balanced_subset(labels, 0.25, seed=1).tolist() != PINNED


@settings(deadline=None, max_examples=60)
@given(sizes=counts, fraction=st.floats(0.15, 1.0), seed=st.integers(0, 2**32 - 1))
def test_every_class_gives_its_share_once(sizes, fraction, seed):
    labels = shuffled(sizes, seed % 7)
    chosen = class_balanced_subset(labels, fraction, seed)
    assert chosen.dtype == torch.int64
    assert torch.equal(chosen, chosen.unique())  # sorted, and none twice
    taken = labels[chosen].bincount(minlength=len(sizes)).tolist()
    assert taken == [round(fraction * size) for size in sizes]
    assert torch.equal(chosen, class_balanced_subset(labels.clone(), fraction, seed))


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_shares_outside_zero_to_one_are_refused(fraction):
    with pytest.raises(UserError, match="fraction"):
        class_balanced_subset(BALANCED, fraction, seed=0)


def test_a_class_left_without_an_image_is_refused():
    with pytest.raises(UserError, match=r"0\.1% of class 0 .*larger fraction"):
        class_balanced_subset(BALANCED, 0.001, seed=0)


def test_messages_name_the_class():
    labels, names = torch.tensor([2] * 9 + [0] * 3), ("cats", "none", "dogs\n")
    require_share(labels, 0.2, names)
    require_shots(labels, 3, names)
    with pytest.raises(UserError, match=r"10% of class 'cats' is less than one image \(it has 3\)"):
        require_share(labels, 0.1, names)
    with pytest.raises(UserError, match="5 labelled images per class asked for, but class 'cats' has 3"):
        require_shots(labels, 5, names)
    with pytest.raises(UserError, match=r"1% of class 'dogs\\n'"):
        require_share(labels[:9], 0.01, names)


@settings(deadline=None, max_examples=60)
@given(sizes=counts, seed=st.integers(0, 1000), parts=st.integers(1, 2))
def test_splits_are_a_partition_with_every_class_in_every_part(sizes, seed, parts):
    labels = shuffled(sizes, seed)
    split = split_by_class(labels, [0.15] * parts, seed)
    assert len(split) == parts + 1
    assert sorted(torch.cat(split).tolist()) == list(range(len(labels)))
    for part in split[1:]:
        assert labels[part].bincount(minlength=len(sizes)).tolist() == [
            max(1, round(0.15 * size)) for size in sizes
        ]


def test_too_few_images_for_every_split_are_refused():
    with pytest.raises(UserError, match="class 1 has only 2 images"):
        split_by_class(torch.tensor([0] * 9 + [1] * 2), [0.15, 0.15], seed=0)
