"""Where images lie below the folder of their data set, which a packed copy says of its source."""

from __future__ import annotations

import os
from pathlib import Path

from mmbench.data.dataset import Dataset
from mmbench.data.packs.reading import PackedFiles
from mmbench.data.types import ImageFiles


def data_folder(dataset: Dataset) -> Path:
    """Return the folder that paths of images are below: that of a list of images where this is one."""
    return dataset.root if dataset.root.is_dir() else dataset.root.parent


def folder_below(dataset: Dataset, files: ImageFiles) -> str | None:
    """Return the folder that the paths of a split are relative to, as a path below the data set's folder.

    It is "" for that folder itself, and None for a packed copy that does not say where its images lay.
    """
    if isinstance(files, PackedFiles):
        return files.folder
    above = os.path.relpath(files.root, data_folder(dataset))
    return "" if above == "." else above


def paths_below(dataset: Dataset, files: ImageFiles) -> list[str]:
    """Return the path of each image of a split below the data set's folder, that of the source of a pack.

    Of a packed copy that does not say where its images lay, these are the names in it.
    """
    folder = folder_below(dataset, files)
    return [f"{folder}/{path}" for path in files.paths] if folder else list(files.paths)
