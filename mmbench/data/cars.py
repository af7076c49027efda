"""Stanford Cars (Krause et al. 2013). Its home is gone, so the files must come from a copy."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import StanfordCars

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.torchvision_files import Reader

READER = Reader(
    "cars",
    "stanford_cars",
    lambda root, part: StanfordCars(str(root), split=part),
    lambda source: source._samples,
)


@DATASETS.register("cars")
def load_cars(root: Path) -> Dataset:
    """Return Stanford Cars; 10% of each class of the authors' train pictures are val.

    torchvision reads the test labels from `cars_test_annos_withlabels.mat` beside the devkit.

    Raises:
        UserError: files that are missing or damaged; nothing can be downloaded.
    """
    return READER.dataset(root)
