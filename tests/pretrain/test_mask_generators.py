"""Properties of the grid masks."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.pretrain.mask_generators import (
    block_cells,
    discrete_cells,
    focal_mask,
    grid_mask,
    random_share_cells,
    upsample,
)

GRIDS = st.integers(2, 9)
RATIOS = st.floats(0.1, 0.9)
SEEDS = st.integers(0, 10_000)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=40, deadline=None)
@given(GRIDS, RATIOS, SEEDS, st.sampled_from(["discrete", "block"]), st.booleans(), st.integers(9, 33))
def test_lambda_is_the_masks_mean(
    grid: int, ratio: float, seed: int, kind: str, per_sample: bool, side: int
) -> None:
    size = (side, side + 3)
    mask, lam = grid_mask(6, size, seeded(seed), kind=kind, grid=grid, ratio=ratio, per_sample=per_sample)
    assert mask.shape == (6, 1, *size)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    for one, share in zip(mask, lam, strict=True):
        assert abs(one.double().mean().item() - share.item()) < 1e-6
    if not per_sample:
        assert (mask == mask[0]).all()


@settings(max_examples=40, deadline=None)
@given(GRIDS, RATIOS, SEEDS)
def test_discrete_masks_are_never_dull(grid: int, ratio: float, seed: int) -> None:
    kept = discrete_cells(32, grid, ratio, seeded(seed)).flatten(1)
    assert kept.any(1).all()
    assert not kept.all(1).any()


def test_ratio_is_the_share_of_own_pixels_for_both_kinds() -> None:
    for ratio in (0.25, 0.75):
        discrete = discrete_cells(2000, 6, ratio, seeded(0)).float().mean().item()
        block = block_cells(2000, 6, ratio, seeded(0)).float().mean().item()
        assert abs(discrete - ratio) < 0.02
        assert ratio - 0.1 < block <= ratio + 1e-6


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 10), st.floats(0.3, 0.8), SEEDS)
def test_block_masks_never_exceed_their_target(grid: int, ratio: float, seed: int) -> None:
    counts = block_cells(16, grid, ratio, seeded(seed)).sum((1, 2))
    assert int(counts.max()) <= int(ratio * grid * grid)


def test_blocks_hang_together_more_than_single_cells() -> None:
    def neighbours_alike(cells: torch.Tensor) -> float:
        return (cells[:, :, 1:] == cells[:, :, :-1]).float().mean().item()

    block, discrete = (draw(500, 8, 0.5, seeded(1)) for draw in (block_cells, discrete_cells))
    assert neighbours_alike(block) > 0.7 > 0.55 > neighbours_alike(discrete)


@settings(max_examples=30, deadline=None)
@given(GRIDS, st.integers(9, 40), SEEDS)
def test_upsampling_equals_nearest_interpolation(grid: int, side: int, seed: int) -> None:
    cells = torch.rand((3, grid, grid), generator=seeded(seed)) < 0.5
    # position p of the image belongs to cell floor(p * grid / side)
    blown = upsample(cells, (side, side))
    for row, column in ((0, 0), (side // 2, side - 1), (side - 1, side // 3)):
        assert torch.equal(blown[:, row, column], cells[:, row * grid // side, column * grid // side])


def test_same_generator_same_masks() -> None:
    first, again, other = (discrete_cells(8, 4, 0.5, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_random_shares_are_exact_and_differ_between_channels() -> None:
    share = torch.tensor([0.0, 0.1, 0.25, 1.0])
    marked = random_share_cells((4, 3, 7, 7), share, seeded(0))
    assert marked.sum((2, 3)).tolist() == [[round(value * 49)] * 3 for value in share.tolist()]
    assert not torch.equal(marked[2, 0], marked[2, 1])


def test_focal_masks_keep_one_rectangle_that_lies_inside() -> None:
    mask = focal_mask(200, (32, 20), 200 / 224, seeded(0))
    assert mask.sum((1, 2, 3)).unique().tolist() == [29.0 * 18]
    tops = {int(one[0].any(1).float().argmax()) for one in mask}
    assert tops == {0, 1, 2, 3}
