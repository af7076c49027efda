"""Data sets by name, the embedded Patterns data, and class-balanced subsets."""

from mmbench.data.dataset import DATASETS, Dataset, ImageSplit, Scenes, load_dataset

__all__ = ["DATASETS", "Dataset", "ImageSplit", "Scenes", "load_dataset"]
