"""Which labelled images a semi-supervised run may see: an official list, looked up in the data set."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mmbench.data import Dataset, ImageSplit
from mmbench.data.lists.label_lists import labelled_indices
from mmbench.data.lists.listed_names import image_names
from mmbench.data.manifest import manifest
from mmbench.errors import UserError
from mmbench.file_names import printable
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


def require_listed(dataset: Dataset, path: Path) -> None:
    """Check that a list names training images of every class; no image is read from files.

    Raises:
        UserError: it cannot be read, names what is not there, or leaves a class without an image.
    """
    parts = [dataset.labels(split) for split in ("train", "val") if split in dataset.splits]
    labels = torch.cat(parts)
    require_every_class(labels[labelled_indices(path, image_names(dataset), len(labels))], dataset, path)


def require_every_class(labels: Tensor, dataset: Dataset, path: Path) -> None:
    """Check that no class is without a label.

    Args:
        labels: int64, (N,), of the images that the list at `path` names.

    Raises:
        UserError: the first class that is.
    """
    counts = torch.bincount(labels, minlength=len(dataset.classes))
    for name, count in zip(dataset.classes, counts.tolist(), strict=True):
        if count == 0:
            raise UserError(f"{path} lists no image of class '{printable(name)}'; every class needs one")


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
