"""Data sets that torchvision reads without further help, one entry each; manifests define their splits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmbench.data.manifest import require_manifest
from mmbench.data.torchvision_files import Reader, how_to_get
from mmbench.errors import UserError

DTD_PARTITION = 1  # of ten; the one that Kornblith et al. 2019 and most papers after them report on
CARS = "stanford_cars"
CARS_FILES = {
    "train": ("devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_train"),
    # torchvision reads the test labels from a file beside the devkit.
    "test": ("devkit/cars_meta.mat", "cars_test_annos_withlabels.mat", "cars_test"),
}
CALTECH = "caltech101"
CALTECH_IMAGES = "101_ObjectCategories"
CALTECH_BACKGROUND = "BACKGROUND_Google"


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


def _read_caltech(root: Path, part: str) -> Any:
    background = root / CALTECH / CALTECH_IMAGES / CALTECH_BACKGROUND
    if not background.is_dir():  # torchvision would say "x not in list"
        raise UserError(
            f"{background} is missing; torchvision expects the folder, although its images are not used: "
            "unpack 101_ObjectCategories.tar.gz again"
        )
    return _torchvision().Caltech101(str(root))


def _caltech_images(source: Any) -> Iterator[tuple[Path, int]]:
    """Yield the paths as torchvision composes them: image_0001.jpg to as many as the folder holds."""
    folder = Path(source.root) / CALTECH_IMAGES
    for number, label in zip(source.index, source.y, strict=True):
        yield folder / source.categories[label] / f"image_{number:04d}.jpg", label


READERS = (
    # Bossard et al. 2014.
    Reader(
        "food101",
        "food-101",
        lambda root, part: _torchvision().Food101(str(root), split=part),
    ),
    # Cimpoi et al. 2014.
    Reader(
        "dtd",
        "dtd",
        lambda root, part: _torchvision().DTD(str(root), split=part, partition=DTD_PARTITION),
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
        lambda root, part: _torchvision().FGVCAircraft(str(root), split=part, annotation_level="variant"),
    ),
    # Parkhi et al. 2012, by breed.
    Reader(
        "oxford-pets",
        "oxford-iiit-pet",
        lambda root, part: _torchvision().OxfordIIITPet(str(root), split=part),
        lambda source: zip(source._images, source._labels, strict=True),
    ),
    # Krause et al. 2013. The authors' site is gone, so the files must come from a copy.
    Reader("cars", CARS, _read_cars, lambda source: source._samples),
    # Fei-Fei et al. 2004, without the background class. There is no official split: as Kornblith et al.
    # 2019 do, 30 images of each class are drawn and the others are test.
    Reader(
        "caltech101",
        CALTECH,
        _read_caltech,
        _caltech_images,
        lambda source: source.categories,
    ),
)

for _reader in READERS:
    _reader.register()
