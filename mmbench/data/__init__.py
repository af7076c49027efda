"""Data sets by name, the embedded Patterns data, and class-balanced subsets."""

from mmbench.data.dataset import DATASETS, Dataset, ImageSplit, PictureFiles
from mmbench.data.dense_files import Scenes
from mmbench.data.opening import download_dataset, load_dataset, load_images

__all__ = [
    "DATASETS",
    "Dataset",
    "ImageSplit",
    "PictureFiles",
    "Scenes",
    "download_dataset",
    "load_dataset",
    "load_images",
]
