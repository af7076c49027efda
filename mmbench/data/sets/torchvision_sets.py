"""Data sets in the folders that torchvision makes, one entry each; manifests define their splits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.data.folder import class_folders, files_directly_in
from mmbench.data.manifest import require_manifest
from mmbench.data.sets.listed_sets import read_aircraft, read_dtd, read_food, read_pets
from mmbench.data.sets.torchvision_files import Reader, how_to_get
from mmbench.errors import UserError
from mmbench.file_names import counted, listed

CARS = "stanford_cars"
CARS_FILES = {
    "train": ("devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_train"),
    # torchvision reads the test labels from a file beside the devkit.
    "test": ("devkit/cars_meta.mat", "cars_test_annos_withlabels.mat", "cars_test"),
}
CALTECH = "caltech101"
CALTECH_IMAGES = "101_ObjectCategories"
CALTECH_BACKGROUND = "BACKGROUND_Google"
CALTECH_NAME = re.compile(r"image_\d{4}\.jpg")


def _torchvision() -> Any:
    """Return torchvision's data sets; the import takes seconds, and other data sets need none of it."""
    from torchvision import datasets

    return datasets


def _read_cars(root: Path, part: str) -> Any:
    for path in CARS_FILES[part]:  # torchvision would only say "Dataset not found"
        if not (root / CARS / path).exists():
            raise UserError(f"{root / CARS / path} is missing; {how_to_get(require_manifest('cars'), root)}")
    return _torchvision().StanfordCars(str(root), split=part)


def download_aircraft(root: Path) -> None:
    """Let torchvision fetch and unpack FGVC-Aircraft in `root`, and read its list of train."""
    _torchvision().FGVCAircraft(str(root), split="train", download=True)


@dataclass(frozen=True)
class CaltechFolder:
    """The folder of Caltech-101, without hidden files and those that systems put into it.

    torchvision would take a .DS_Store or Thumbs.db for a class or an image.

    Attributes:
        home: the folder of the class folders.
        classes: their names, sorted by code point; the background is not among them.
    """

    home: Path
    classes: tuple[str, ...]

    def images(self) -> Iterator[tuple[Path, int]]:
        """Yield (path, label) by torchvision's rule: image_0001.jpg to as many as a class folder holds.

        Raises:
            UserError: a JPEG has another name than those.
        """
        for label, name in enumerate(self.classes):
            folder = self.home / name
            found = files_directly_in(folder)
            if other := [image for image in found if not CALTECH_NAME.fullmatch(image)]:
                raise UserError(
                    f"{counted(len(other), 'image')} in {folder} not named as the authors name theirs, "
                    f"image_0001.jpg ({listed(other)}); move what is not theirs elsewhere"
                )
            for number in range(1, len(found) + 1):
                yield folder / f"image_{number:04d}.jpg", label


def _read_caltech(root: Path, part: str) -> CaltechFolder:
    home = root / CALTECH / CALTECH_IMAGES
    return CaltechFolder(home, tuple(name for name in class_folders(home) if name != CALTECH_BACKGROUND))


READERS = (
    # Bossard et al. 2014.
    Reader(
        "food101",
        "food-101",
        read_food,
        lambda source: source.images,
    ),
    # Cimpoi et al. 2014.
    Reader(
        "dtd",
        "dtd",
        read_dtd,
        lambda source: source.images,
    ),
    # Nilsback and Zisserman 2008. torchvision compares the label files with the MD5 sums of the manifest.
    Reader(
        "flowers102",
        "flowers-102",
        lambda root, part: _torchvision().Flowers102(str(root), split=part),
    ),
    # Maji et al. 2013, by variant of aircraft.
    Reader(
        "fgvc-aircraft",
        "fgvc-aircraft-2013b",
        read_aircraft,
        lambda source: source.images,
    ),
    # Parkhi et al. 2012, by breed.
    Reader(
        "oxford-pets",
        "oxford-iiit-pet",
        read_pets,
        lambda source: source.images,
    ),
    # Krause et al. 2013. The authors' site is gone, so the files must come from a copy.
    Reader("cars", CARS, _read_cars, lambda source: source._samples),
    # Fei-Fei et al. 2004, without the background class. There is no official split: as Kornblith et al.
    # 2019 do, 30 images of each class are drawn and the others are test.
    Reader(
        "caltech101",
        CALTECH,
        _read_caltech,
        lambda source: source.images(),
    ),
)

for _reader in READERS:
    _reader.register()
