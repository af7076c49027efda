"""Which labelled images a semi-supervised run may see: an official list, looked up in the data set."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mmbench.data import Dataset, ImageSplit
from mmbench.data.label_lists import labelled_indices
from mmbench.data.listed_names import image_names
from mmbench.data.manifest import manifest
from mmbench.transfer.inputs.images import FileImages, Images, MemoryImages
from mmbench.transfer.job import TransferJob


def listed_images(job: TransferJob, path: Path) -> tuple[Images, Tensor]:
    """Return every labelled training image and the indices of those that the list names.

    Official lists do not account for our val split, which is cut out of train and chooses nothing here; so
    they are looked up in both: first train, then val.

    Raises:
        UserError: a list that cannot be read, or names what is not there.
    """
    whole = _train_and_val(job)
    return whole, labelled_indices(path, image_names(job.dataset), len(whole))


def _train_and_val(job: TransferJob) -> Images:
    parts = [job.images("train"), *([job.images("val")] if "val" in job.dataset.splits else [])]
    first = parts[0]
    if isinstance(first, FileImages):
        others = [part.files for part in parts[1:] if isinstance(part, FileImages)]
        files = first.files.joined(others)
        return FileImages(files, first.size, first.workers, first.resized)
    splits = [part.split for part in parts if isinstance(part, MemoryImages)]
    images = torch.cat([split.images for split in splits])
    return MemoryImages(ImageSplit(images, torch.cat([split.labels for split in splits])), first.size)


def committed_draw(dataset: Dataset, fraction: float, seed: int, available: int) -> str | None:
    """Return the SHA-256 that the data set's manifest commits for a draw of labels, None where it has none.

    Args:
        available: labelled training images; a data set of another size is not the manifest's.
    """
    known = manifest(dataset.name)
    if known is None or known.draws is None or known.splits["train"].images != available:
        return None
    committed = {0.01: known.draws.one_percent, 0.1: known.draws.ten_percent}.get(fraction)
    return committed[seed] if committed is not None and seed < len(committed) else None
