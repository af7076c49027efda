"""Labels of patches and the patches that a memory keeps, recomputed one by one."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmbench.data.label_maps.types import IGNORED
from mmbench.transfer.dense.probes.patches import kept_patches, label_counts, patch_scores

CLASSES = 4


def drawn_labels(seed: int, height: int, width: int) -> Tensor:
    """Return random labels, of which about a third are ignored, in blobs so that whole patches are."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES + 2, (height, width), generator=generator)
    labels[labels >= CLASSES] = IGNORED
    labels[: height // 3, : width // 2] = IGNORED
    return labels.to(torch.uint8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
)
def test_counts_are_those_of_a_loop_over_pixels(
    seed: int, rows: int, columns: int, height: int, width: int
) -> None:
    labels = drawn_labels(seed, rows * height, columns * width)
    found = label_counts(labels, (rows, columns), CLASSES)
    expected = [[0] * CLASSES for _ in range(rows * columns)]
    for y in range(rows * height):
        for x in range(columns * width):
            label = int(labels[y, x])
            if label != IGNORED:
                expected[y // height * columns + x // width][label] += 1
    assert found.dtype == torch.int32 and found.tolist() == expected


def test_label_maps_that_the_grid_does_not_divide_are_enlarged() -> None:
    """A map of 3 x 2 positions for 5 x 3 pixels: each pixel of the enlarged map is the nearest one."""
    labels = drawn_labels(0, 5, 3)
    found = label_counts(labels, (3, 2), CLASSES)
    expected = [[0] * CLASSES for _ in range(6)]
    for y in range(6):
        for x in range(4):
            label = int(labels[y * 5 // 6, x * 3 // 4])
            if label != IGNORED:
                expected[y // 2 * 2 + x // 2][label] += 1
    assert found.tolist() == expected


def loop_scores(counts: list[list[int]]) -> list[int]:
    """Return the sum over a patch's classes of the number of patches with that class."""
    with_class = [sum(1 for patch in counts if patch[kind]) for kind in range(CLASSES)]
    return [sum(with_class[kind] for kind in range(CLASSES) if patch[kind]) for patch in counts]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), most=st.integers(1, 40))
def test_the_patches_with_the_lowest_noisy_scores_are_kept(seed: int, most: int) -> None:
    counts = label_counts(drawn_labels(seed, 18, 24), (6, 6), CLASSES)
    scores = loop_scores(counts.tolist())
    assert patch_scores(counts).tolist() == scores
    kept = kept_patches(counts, most, torch.Generator().manual_seed(seed)).tolist()
    labelled = [index for index, patch in enumerate(counts.tolist()) if any(patch)]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(len(labelled), generator=generator, dtype=torch.float64).tolist()
    ranked = sorted(zip(labelled, noise, strict=True), key=lambda pair: scores[pair[0]] * pair[1])
    assert kept == sorted(index for index, _ in ranked[:most])
    assert len(kept) == min(most, len(labelled)) and set(kept) <= set(labelled)


def test_rare_classes_are_kept_more_often() -> None:
    """One of 64 patches shows class 1: with 8 kept of each draw it is nearly always among them."""
    counts = torch.zeros(64, CLASSES, dtype=torch.int32)
    counts[:, 0] = 4
    counts[17] = torch.tensor([0, 4, 0, 0])
    kept = [17 in kept_patches(counts, 8, torch.Generator().manual_seed(seed)) for seed in range(50)]
    assert sum(kept) >= 48


def test_an_image_without_labels_gives_nothing() -> None:
    counts = torch.zeros(9, CLASSES, dtype=torch.int32)
    assert len(kept_patches(counts, 5, torch.Generator().manual_seed(0))) == 0
