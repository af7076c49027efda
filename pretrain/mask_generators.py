"""Random grid masks, drawn for a whole batch at once on the generator's device.

`ratio` has one meaning everywhere: the share of grid cells that KEEP the image's own pixels (mask 1).
The released MixMask code agrees with that for block masks and means the opposite for discrete ones.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

# BEiT (Bao et al., arXiv 2106.08254), algorithm 1 and its code: blocks of at least 4 cells,
# aspect log-uniform in [0.3, 1 / 0.3], at most 10 tries per block.
MIN_BLOCK_CELLS, MIN_ASPECT, TRIES = 4, 0.3, 10


def uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    """Return float32 numbers from U[low, high) on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def upsample(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Blow a grid (..., gh, gw) up to (..., H, W) by nearest neighbour; any H and W will do."""
    for axis, length in ((-2, size[0]), (-1, size[1])):
        steps = torch.arange(length, device=cells.device)
        cells = cells.index_select(axis, steps * cells.shape[axis] // length)
    return cells


def discrete_cells(batch: int, grid: int, ratio: float, generator: Generator) -> Tensor:
    """Return bool grids (batch, grid, grid): each cell is kept with probability `ratio`.

    A grid that keeps all or nothing is drawn again, as in the released MixMask code.
    """
    kept = torch.rand((batch, grid, grid), generator=generator, device=generator.device) < ratio
    while True:
        counts = kept.sum((1, 2))
        dull = ((counts == 0) | (counts == grid * grid)).nonzero().flatten()
        if not len(dull):
            return kept
        again = torch.rand((len(dull), grid, grid), generator=generator, device=generator.device)
        kept[dull] = again < ratio


def block_cells(batch: int, grid: int, ratio: float, generator: Generator) -> Tensor:
    """Return bool grids (batch, grid, grid) made of BEiT's random blocks of kept cells.

    Blocks are added until int(ratio * grid^2) cells are kept or ten tries in a row have failed, so the
    target can be missed (never exceeded).
    """
    device = generator.device
    target = int(ratio * grid * grid)
    kept = torch.zeros((batch, grid, grid), dtype=torch.bool, device=device)
    failures = torch.zeros(batch, dtype=torch.int64, device=device)
    position = torch.arange(grid, device=device)
    while True:
        room = target - kept.sum((1, 2))
        active = (room > 0) & (failures < TRIES)
        if not bool(active.any()):
            return kept
        draws = torch.rand((4, batch), generator=generator, device=device)
        area = MIN_BLOCK_CELLS + draws[0] * (room - MIN_BLOCK_CELLS)
        aspect = torch.exp((2 * draws[1] - 1) * -math.log(MIN_ASPECT))
        height = (area * aspect).sqrt().round().long()
        width = (area / aspect).sqrt().round().long()
        fits = active & (height < grid) & (width < grid)
        top = (draws[2] * (grid - height + 1)).long()
        left = (draws[3] * (grid - width + 1)).long()
        rows = (position >= top[:, None]) & (position < (top + height)[:, None])
        columns = (position >= left[:, None]) & (position < (left + width)[:, None])
        block = rows[:, :, None] & columns[:, None, :]
        gain = (block & ~kept).sum((1, 2))
        good = fits & (gain > 0) & (gain <= room)
        kept |= block & good[:, None, None]
        failures = torch.where(good, torch.zeros_like(failures), failures + 1)


CELLS = {"discrete": discrete_cells, "block": block_cells}


def grid_mask(
    batch: int,
    size: tuple[int, int],
    generator: Generator,
    *,
    kind: str,
    grid: int,
    ratio: float,
    per_sample: bool,
) -> tuple[Tensor, Tensor]:
    """Draw masks that keep about `ratio` of each image.

    Args:
        batch: number of images B.
        size: height H and width W in pixels.
        generator: the only source of randomness; masks live on its device.
        kind: "discrete" or "block".
        grid: cells per side.
        ratio: share of cells that keep the image's own pixels, in (0, 1).
        per_sample: one mask per image; otherwise one for the batch, as in the released MixMask code.

    Returns:
        mask: float32 (B, 1, H, W), 1 where the image keeps its own pixels.
        lam: float32 (B,), the mask's actual mean.
    """
    cells = CELLS[kind](batch if per_sample else 1, grid, ratio, generator)
    mask = upsample(cells, size).unsqueeze(1).float()
    lam = mask.mean((1, 2, 3))
    return mask.expand(batch, 1, *size), lam.expand(batch)


def random_share_cells(shape: tuple[int, ...], share: Tensor, generator: Generator) -> Tensor:
    """Mark exactly round(share * cells) random cells of each grid.

    Args:
        shape: (B, C, gh, gw).
        share: (B,), how much of each grid is marked, in [0, 1].

    Returns:
        bool (B, C, gh, gw), True where marked; channels are drawn independently.
    """
    batch, channels, height, width = shape
    scores = torch.rand((batch, channels, height * width), generator=generator, device=generator.device)
    ranks = scores.argsort(-1).argsort(-1)
    count = (share * height * width).round().long()
    return (ranks < count[:, None, None]).reshape(shape)


def focal_mask(batch: int, size: tuple[int, int], kept_side: float, generator: Generator) -> Tensor:
    """Keep one random rectangle of `kept_side` of each side: float32 (B, 1, H, W), 1 inside."""
    inside = []
    for length in size:
        side = max(1, round(kept_side * length))
        start = torch.rand((batch, 1), generator=generator, device=generator.device) * (length - side + 1)
        steps = torch.arange(length, device=generator.device)
        inside.append((steps >= start.long()) & (steps < start.long() + side))
    return (inside[0][:, :, None] & inside[1][:, None, :]).unsqueeze(1).float()
