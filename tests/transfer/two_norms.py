"""What each of two processes does in test_detector_norms.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.transfer.dense.common.norms import AnyDeviceSyncBatchNorm

SHAPES = [(5, 3, 4, 4), (2, 3, 6, 2)]  # of the two processes: other numbers of regions, other sizes


def inputs() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) * 3 + 1 for shape in SHAPES]


def weighted(outputs: Tensor, rank: int) -> Tensor:
    """A loss in which every output counts differently."""
    return (outputs * torch.linspace(-1, 2, outputs.numel()).view_as(outputs) * (rank + 1)).sum()


def facts(norm: nn.BatchNorm2d, image: Tensor, outputs: Tensor) -> dict[str, Any]:
    return {
        "outputs": outputs.detach(),
        "gradient": image.grad,
        "mean": norm.running_mean,
        "variance": norm.running_var,
        "weight": norm.weight.grad,
    }


def one_of_two(rank: int, folder: str, port: int) -> None:
    """Normalise this process's own input and write what comes of it."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    norm = AnyDeviceSyncBatchNorm(3)
    image = inputs()[rank].requires_grad_()
    outputs = norm(image)
    weighted(outputs, rank).backward()
    torch.save(facts(norm, image, outputs), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()
