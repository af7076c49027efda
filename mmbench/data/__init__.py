"""Data sets by name, the embedded Patterns data, and class-balanced subsets."""

from mmbench.data.dataset import (
    DATASETS,
    Dataset,
    ImageSplit,
    PictureFiles,
    download_dataset,
    load_dataset,
)
from mmbench.data.dense_files import Scenes

__all__ = ["DATASETS", "Dataset", "ImageSplit", "PictureFiles", "Scenes", "download_dataset", "load_dataset"]
