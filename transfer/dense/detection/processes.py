"""Detection in several processes: Detectron2's groups, averaged gradients, folders and seeds."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmbench.distributed import process_count, process_rank


def join_detectron2() -> None:
    """Make Detectron2's group of the processes on this machine, which its `launch` would make."""
    count = process_count()
    if count == 1 or comm._LOCAL_PROCESS_GROUP is not None:
        return
    here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
    comm.create_local_process_group(here if count % here == 0 else count)


def in_parallel(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model whose gradients are averaged over processes; itself where there is one."""
    if process_count() == 1:
        return model
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the detector itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def seed_process(seed: int) -> None:
    """Let every process but the first draw anew, such as the proposals of its own images."""
    if process_rank() > 0:
        torch.manual_seed((seed + process_rank()) % 2**63)


def own_folder(work: Path) -> Path:
    """Return a folder for this process alone; that of the first process is `work` itself."""
    folder = work if process_rank() == 0 else work / f"process-{process_rank()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
