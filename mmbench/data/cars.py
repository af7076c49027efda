"""Stanford Cars (Krause et al. 2013). Its home is gone, so the files must come from a copy."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import StanfordCars

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.manifest import require_manifest
from mmbench.data.torchvision_files import Reader, how_to_get
from mmbench.errors import UserError

FOLDER = "stanford_cars"
NEEDED = {
    "train": ("devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_train"),
    "test": ("devkit/cars_meta.mat", "cars_test_annos_withlabels.mat", "cars_test"),
}


def _read(root: Path, part: str) -> StanfordCars:
    for path in NEEDED[part]:  # torchvision would only say "Dataset not found"
        if not (root / FOLDER / path).exists():
            raise UserError(
                f"{root / FOLDER / path} is missing; {how_to_get(require_manifest('cars'), root)}"
            )
    return StanfordCars(str(root), split=part)


READER = Reader("cars", FOLDER, _read, lambda source: source._samples)


@DATASETS.register("cars")
def load_cars(root: Path) -> Dataset:
    """Return Stanford Cars; 10% of each class of the authors' train pictures are val.

    torchvision reads the test labels from `cars_test_annos_withlabels.mat` beside the devkit.

    Raises:
        UserError: files that are missing or damaged; nothing can be downloaded.
    """
    return READER.dataset(root)
