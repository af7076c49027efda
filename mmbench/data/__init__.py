"""Data sets by name, the embedded Patterns data, and class-balanced subsets."""

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.opening import download_dataset, load_dataset, load_images
from mmbench.data.types import ImageFiles, ImageSplit, Scenes

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
