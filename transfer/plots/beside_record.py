"""`--plot`: the pictures of features that belong to a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mmbench.data.types import Split
from mmbench.distributed import on_main
from mmbench.transfer.inputs.features import is_pixels
from mmbench.transfer.job import TransferJob
from mmbench.transfer.plots.features import ViewedSplit, draw_views


def draw_beside(job: TransferJob, record: Path) -> None:
    """Draw the features of the evaluated split and their nearest neighbours in train, beside a record.

    Raises:
        UserError: fewer than four pictures to show.
    """
    bank, queries = (_viewed(job, split) for split in ("train", job.evaluated))
    if is_pixels(job.backbone):  # as kNN does
        mean = bank.features.float().mean(dim=0)
        bank, queries = (replace(view, features=view.features.float() - mean) for view in (bank, queries))
    title = f"{job.backbone.card.arm} on {job.dataset.name}"
    on_main(lambda: draw_views(bank, queries, job.dataset.classes, title, record) and None)


def _viewed(job: TransferJob, split: Split) -> ViewedSplit:
    pictures = job.images(split)

    def images(indices: Tensor) -> Tensor:
        return torch.cat(list(pictures.middles(indices.split(128))))

    return ViewedSplit(split, job.features(split), pictures.labels, images)
