"""Data sets by name, the embedded Patterns data, and class-balanced subsets."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmbench.data.dataset import DATASETS, Dataset
    from mmbench.data.opening import download_dataset, load_dataset, load_images
    from mmbench.data.types import ImageFiles, ImageSplit, Scenes

# name -> module that defines it; imported at the first use, so that manifests can be read without torch
_HOMES = {
    "DATASETS": "dataset",
    "Dataset": "dataset",
    "ImageFiles": "types",
    "ImageSplit": "types",
    "Scenes": "types",
    "download_dataset": "opening",
    "load_dataset": "opening",
    "load_images": "opening",
}

__all__ = [
    "DATASETS",
    "Dataset",
    "ImageFiles",
    "ImageSplit",
    "Scenes",
    "download_dataset",
    "load_dataset",
    "load_images",
]


def __getattr__(name: str) -> Any:
    """Import a name of `__all__`."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mmbench.data' has no attribute '{name}'")
    return getattr(importlib.import_module(f"mmbench.data.{_HOMES[name]}"), name)
