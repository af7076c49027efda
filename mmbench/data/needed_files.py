"""Which files each data set needs, and which of them are there; a light module, which plans read too.

It says nothing about what is in the files: opening the data set does.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mmbench.data.annotated.places import HOMES, places_of
from mmbench.data.manifest import manifest
from mmbench.data.sets import fashion_mnist_places

# A file, or with "/" at its end a folder that holds something; of several, one is enough.
Needed = str | tuple[str, ...]

_VOC2007 = "VOCdevkit/VOC2007"
_DEVKIT = ("ILSVRC2012_devkit_t12.tar.gz", "meta.bin")  # torchvision needs either to unpack ImageNet
# Below the folder of the data set, beside the files whose MD5 sums its manifest states.
NEEDED: dict[str, tuple[Needed, ...]] = {
    "ade20k": tuple(
        f"{kind}/{part}/" for kind in ("images", "annotations") for part in ("training", "validation")
    ),
    "caltech101": ("caltech101/101_ObjectCategories/",),
    "cars": tuple(
        f"stanford_cars/{name}"
        for name in (
            "devkit/cars_meta.mat",
            "devkit/cars_train_annos.mat",
            "cars_train/",
            "cars_test_annos_withlabels.mat",
            "cars_test/",
        )
    ),
    "cifar10": (),
    "cifar100": (),
    "cityscapes": tuple(f"{kind}/{part}/" for kind in ("leftImg8bit", "gtFine") for part in ("train", "val")),
    "coco": (
        *(f"annotations/instances_{part}2017.json" for part in ("train", "val")),
        *((f"{part}2017/", f"images/{part}2017/") for part in ("train", "val")),
    ),
    "coco-keypoints": (
        *(f"annotations/person_keypoints_{part}2017.json" for part in ("train", "val")),
        *((f"{part}2017/", f"images/{part}2017/") for part in ("train", "val")),
    ),
    "dtd": ("dtd/dtd/images/", *(f"dtd/dtd/labels/{part}1.txt" for part in ("train", "val", "test"))),
    "fashion-mnist": (),  # see `fashion_mnist_places`
    "fgvc-aircraft": (
        "fgvc-aircraft-2013b/data/images/",
        "fgvc-aircraft-2013b/data/variants.txt",
        *(f"fgvc-aircraft-2013b/data/images_variant_{part}.txt" for part in ("train", "val", "test")),
    ),
    "flowers102": ("flowers-102/jpg/",),
    "food101": ("food-101/images/", "food-101/meta/train.json", "food-101/meta/test.json"),
    "imagenet": (
        ("train/", "ILSVRC2012_img_train.tar"),
        ("val/", "ILSVRC2012_img_val.tar"),
        *((f"{part}/", *_DEVKIT) for part in ("train", "val")),
    ),
    "imagenet-100": (
        "classes.txt",
        ("train/", "../imagenet/train/", "../imagenet/ILSVRC2012_img_train.tar"),
        ("val/", "ILSVRC2012_img_val.tar", "../imagenet/val/", "../imagenet/ILSVRC2012_img_val.tar"),
    ),
    "oxford-pets": (
        "oxford-iiit-pet/images/",
        *(f"oxford-iiit-pet/annotations/{part}.txt" for part in ("trainval", "test")),
    ),
    "patterns": ("patterns.json",),  # written last
    "stl10": ("stl10_binary/class_names.txt",),
    "sun397": ("SUN397/ClassName.txt", "Training_01.txt", "Testing_01.txt"),
    "tiny-imagenet": (
        ("tiny-imagenet-200/train/", "train/"),
        ("tiny-imagenet-200/val/val_annotations.txt", "val/val_annotations.txt"),
        ("tiny-imagenet-200/val/images/", "val/images/"),
    ),
    "voc": (
        *(f"VOC2007/{name}" for name in ("ImageSets/Main/trainval.txt", "ImageSets/Main/test.txt")),
        "VOC2012/ImageSets/Main/trainval.txt",
        *(f"{year}/{folder}/" for year in ("VOC2007", "VOC2012") for folder in ("Annotations", "JPEGImages")),
    ),
    "voc12aug": (
        *(f"ImageSets/Segmentation/{part}.txt" for part in ("train", "val")),
        tuple(f"ImageSets/Segmentation/{name}.txt" for name in ("trainaug", "train_aug", "aug")),
        *(f"{folder}/" for folder in ("JPEGImages", "SegmentationClass", "SegmentationClassAug")),
    ),
    "voc2007": (
        *(f"{_VOC2007}/ImageSets/Main/{part}.txt" for part in ("train", "val", "test")),
        *(f"{_VOC2007}/ImageSets/Main/aeroplane_{part}.txt" for part in ("train", "val", "test")),
        f"{_VOC2007}/JPEGImages/",
    ),
}
# What `mmbench data prepare NAME --download` does not fetch: torchvision has SUN397 without its lists.
NOT_DOWNLOADED = ("Training_01.txt", "Testing_01.txt")


class Place(NamedTuple):
    """The folder where the files of a data set are, or should be.

    Attributes:
        begun: whether any of the needed files is there.
        missing: those that are not, relative to the folder.
    """

    folder: Path
    begun: bool
    missing: tuple[str, ...]


def place_of(name: str, root: Path) -> Place | None:
    """Return where a data set is: of the folders that its loader tries, the one that lacks least.

    Args:
        name: a data set of mmbench.
        root: the folder with one folder per data set.

    Returns:
        None if it is not known here which files the data set needs, as of other packages' data sets.
    """
    if name not in NEEDED:
        return None
    if name == fashion_mnist_places.NAME:
        found = [
            Place(place.folder, bool(place.files), place.missing)
            for place in fashion_mnist_places.places(root / name)
        ]
    else:
        homes = places_of(root / name, HOMES[name]) if name in HOMES else [root / name]
        found = [_look(name, home) for home in homes]
    return min(found, key=lambda place: len(place.missing))


def _look(name: str, home: Path) -> Place:
    known = manifest(name)
    needed = (*(() if known is None else known.files), *NEEDED[name])
    missing = []
    for one in needed:
        paths = (one,) if isinstance(one, str) else one
        if not any(_is_there(home / path, folder=path.endswith("/")) for path in paths):
            missing.append(paths[0])
    return Place(home, len(missing) < len(needed), tuple(missing))


def _is_there(path: Path, *, folder: bool) -> bool:
    try:
        return any(path.iterdir()) if folder else path.is_file()
    except OSError:
        return False
