"""One transfer run in one call, for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, ImageSplit
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.compute import Compute, Precision
from mmbench.transfer.execution import execute
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.features import FrozenNetwork, pass_over
from mmbench.transfer.inputs.images import MemoryImages
from mmbench.transfer.resolution import resolve_task
from mmbench.transfer.run import TransferRun

# What a test follows where it names no protocol, on whatever data: the one for small images.
SMALL = {"segmentation": "segmentation/patterns@1", "detection": "detection/patterns@1"}


def make_run(
    name: str,
    backbone: Backbone,
    dataset: Dataset,
    *,
    protocol_id: str | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    overrides: dict[str, Any] | None = None,
    receipt_id: str | None = None,
    bank: FeatureBank | None = None,
    precision: Precision = "float32",
    workers: int | None = None,
    labels_file: Path | None = None,
    remarks: tuple[str, ...] = (),
) -> TransferRun:
    """Return a run of a task on the CPU, unless another device is given."""
    return TransferRun(
        resolve_task(name, protocol_id or SMALL.get(name), overrides),
        backbone,
        dataset,
        seed,
        Compute(device or torch.device("cpu"), precision, workers),
        bank or FeatureBank(),
        labels_file,
        remarks,
        receipt_id,
    )


def run_task(
    name: str,
    backbone: Backbone,
    dataset: Dataset,
    store: ResultStore,
    *,
    work: Path,
    report: Callable[[int, int, str], None] | None = None,
    **asked: Any,
) -> Result:
    """Measure one run; `asked` as in `make_run`."""
    run = make_run(name, backbone, dataset, **asked)
    return execute(run, store, work, **({} if report is None else {"report": report}))


def extract(backbone: Backbone, images: Tensor, device: torch.device, batch: int = 128) -> Tensor:
    """Return pooled features (N, C) float32 on the CPU, of uint8 images (N, 3, H, W); see `pass_over`."""
    size = backbone.card.preprocessing.image_size
    split = ImageSplit(images, torch.zeros(len(images), dtype=torch.int64))
    network = FrozenNetwork(backbone, Compute(device))
    return torch.cat(list(pass_over(network, MemoryImages(split, size), 0, len(images), batch)))
