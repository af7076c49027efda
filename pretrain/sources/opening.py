"""Opens the images to train on, in memory or as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch

from mmbench.data import DATASETS, Dataset, load_dataset, load_images
from mmbench.data.images.decoding import STORED_OVER_FED, decode
from mmbench.data.images.sides import sides, sides_of_files
from mmbench.data.opening import image_path
from mmbench.data.plain_images import plain_images
from mmbench.errors import UserError
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.base import ImageSource
from mmbench.pretrain.sources.device_files import DeviceFileSource
from mmbench.pretrain.sources.files import FileSource, check_unreadable
from mmbench.pretrain.sources.memory import MemorySource

MEMORY_LIMIT = 4 * 2**30  # bytes of decoded images; larger data sets are read as they are needed


def open_images(data: str, root: Path) -> Dataset:
    """Return the data set called `data`, or the images at that path, without asking for labels."""
    path = image_path(data, root)
    return plain_images(load_dataset(data, root)) if path is None else load_images(path)


def open_as_trained(data: str, root: Path, labelled: bool) -> Dataset:
    """Return a data set as a run opens it: with labels where its kNN monitor needs them."""
    return load_dataset(data, root) if labelled else open_images(data, root)


def is_there(data: str, root: Path) -> bool:
    """Return whether the files of a data set are there, which opening it may prepare otherwise."""
    return (image_path(data, root) or root / data).exists()


def same_place_name(one: str, other: str) -> bool:
    """Return whether two paths of data end in the same name, wherever they lead; data sets have no paths.

    >>> same_place_name("photos", "../photos"), same_place_name("photos", "photos2")
    (True, False)
    """
    if not {one, other}.isdisjoint(DATASETS.names()):
        return False
    one, other = (Path(os.path.normpath(Path(path).absolute())).name for path in (one, other))
    return one == other


def fingerprint_of(dataset: Dataset) -> str:
    """Return the identity of the images to train on, as training states and cards hold it.

    Of data sets that are files it is that of the train split, for which no image is decoded.
    """
    return dataset.files["train"]().fingerprint if "train" in dataset.files else dataset.fingerprint


def reads_files(config: PretrainConfig, dataset: Dataset) -> bool:
    """Return whether a run reads its images from files as it needs them; see `chosen_loading`."""
    files = len(dataset.files["train"]()) if "train" in dataset.files else None
    return chosen_loading(config, dataset.name, files, config.image_size or dataset.image_size) == "files"


def chosen_loading(
    config: PretrainConfig, name: str, files: int | None, image_size: int
) -> Literal["files", "memory"]:
    """Return whether images are read from files as they are needed, or decoded once.

    By default the first where decoded images would take more than MEMORY_LIMIT.

    Args:
        name: of the data set.
        files: their number; None where the data set has none.
        image_size: side of a view in pixels.

    Raises:
        UserError: "files" for a data set that has none, or a decoder of files for images in memory.
    """
    if files is None:
        if config.loading == "files":
            raise UserError(f"data set '{name}' is not read from files; leave out --set loading=files")
        if config.decode == "gpu":
            raise UserError(f"data set '{name}' is not read from files; leave out --set decode=gpu")
        return "memory"
    fits = files * 3 * round(image_size * STORED_OVER_FED) ** 2 <= MEMORY_LIMIT
    if config.loading == "files" or (config.loading == "auto" and not fits):
        return "files"
    if config.decode == "gpu":
        raise UserError(
            f"the images of '{name}' are decoded once, into memory; leave out --set decode=gpu, or "
            "add --set loading=files"
        )
    return "memory"


def open_source(config: PretrainConfig, dataset: Dataset, device: torch.device) -> ImageSource:
    """Return the train split of `dataset` as the configuration wants it; see `reads_files`.

    Of images that are decoded into memory those that cannot be read are left out.

    Raises:
        UserError: no train split, too many unreadable images, or see `reads_files`.
    """
    size, from_files = config.image_size or dataset.image_size, reads_files(config, dataset)
    if "train" not in dataset.files:
        whole = dataset.split("train")
        known = sides(dataset, "train")
        return MemorySource(dataset.name, whole, dataset.fingerprint, size, device, [], known)
    files = dataset.files["train"]()
    if from_files:
        source = DeviceFileSource if config.decode == "gpu" else FileSource
        return source(dataset.name, files, size, config, device)
    unreadable: list[str] = []
    split = decode(files, round(size * STORED_OVER_FED), unreadable)
    check_unreadable(unreadable, len(files), str(files.root))
    return MemorySource(
        dataset.name, split, files.fingerprint, size, device, unreadable, sides_of_files(files)
    )
