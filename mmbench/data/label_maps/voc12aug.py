"""VOC2012 for segmentation (Everingham et al. 2010), with the training images of SBD (Hariharan et al. 2011).

Train is what is called trainaug: all images that VOC's train or SBD has masks of, without VOC's val. VOC's
own masks are used where it has them; those of SBD are PNG files in SegmentationClassAug, which `mmbench data
prepare voc12aug` or mmsegmentation's tool makes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from mmbench.data.annotated.named_voc import ARCHIVES
from mmbench.data.annotated.named_voc import CLASSES as OBJECTS
from mmbench.data.annotated.places import HOMES, find_place
from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.label_maps.palettes import voc_palette
from mmbench.data.label_maps.published import published_data
from mmbench.data.label_maps.sbd import ARCHIVE
from mmbench.data.label_maps.types import IGNORED, Coding, Pair, Part, Stated
from mmbench.data.lists.text_lists import read_items
from mmbench.data.official import PUBLISHED, Official
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable

NAME, BACKGROUND = "voc12aug", "background"
CLASSES = (BACKGROUND, *OBJECTS)
VOC_ARCHIVE = ARCHIVES["VOC2012", "trainval"]
OFFICIAL = Official(
    "VOC2012 with SBD",
    "label maps",
    len(CLASSES),
    {"train": 10582, "val": 1449},
    "mIoU",
    f"{VOC_ARCHIVE}, {ARCHIVE} of SBD",
)
PUBLISHED.register(NAME)((OFFICIAL,))
LISTS, IMAGES = "ImageSets/Segmentation", "JPEGImages"
OWN_MASKS, ADDED_MASKS = "SegmentationClass", "SegmentationClassAug"
TRAIN_LIST = "trainaug.txt"
TRAIN_LISTS = (TRAIN_LIST, "train_aug.txt")  # the latter is that of DeepLab's followers
ADDED_LIST = "aug.txt"  # mmsegmentation: what SBD adds to VOC's train
STEM = re.compile(r"\d{4}_\d{6}")  # what images are called since VOC2008; those of VOC2007 have six digits


@DATASETS.register(NAME)
def load_voc12aug(root: Path) -> Dataset:
    """Return VOC2012 with SBD's training images: 21 classes, background included; splits train and val.

    Raises:
        UserError: VOC2012 is in none of the usual places, or a list of images is missing or that of another
            data set.
    """
    home = find_home(root)
    own = {part: stems(home, f"{part}.txt") for part in ("train", "val")}
    train, files = training_images(home, own["train"])
    masked = {*own["train"], *own["val"]}
    parts: dict[Split, Part] = {
        "train": Part("train", "trainaug", _pairs(train, masked), files),
        "val": Part("val", "val", _pairs(own["val"], masked), (f"{LISTS}/val.txt",)),
    }
    coding = Coding("values", {label: label for label in (*range(len(CLASSES)), IGNORED)})
    stated = Stated(CLASSES, BACKGROUND, coding, voc_palette(len(CLASSES)))
    data = published_data(NAME, home, parts, stated, OFFICIAL)
    return Dataset(NAME, home, CLASSES, label_maps=data)


def find_home(root: Path) -> Path:
    """Return the folder VOC2012.

    Raises:
        UserError: it is in none of the usual places; the message names the archive.
    """
    obtain = f"what {VOC_ARCHIVE} unpacks to (VOCdevkit/VOC2012)"
    try:
        return find_place(root, HOMES[NAME], lambda place: (place / LISTS).is_dir(), obtain)
    except UserError:
        if any((root / outer / "VOC2007").is_dir() for outer in (".", "VOCdevkit")):
            raise UserError(
                f"{printable(root)} holds VOC2007, and {NAME} is VOC2012; unpack {VOC_ARCHIVE} there"
            ) from None
        raise


def stems(home: Path, listing: str) -> tuple[str, ...]:
    """Return the stems of the images of a list, each once.

    Lines may be stems or paths; of several columns the first one counts.

    Raises:
        UserError: the list is missing, is not text, or is that of another data set.
    """
    path = home / LISTS / listing
    if not path.is_file():
        raise UserError(f"there is no {printable(path)}; unpack {VOC_ARCHIVE} again")
    lines = [line for _, line in read_items(path, "list of images")]
    names = [PurePosixPath(re.split(r"[\s,]", line)[0].replace("\\", "/")).stem for line in lines]
    if not any(map(STEM.fullmatch, names)):
        raise UserError(
            f"{printable(path)} lists '{printable(names[0])}' and others, which are not images of VOC2012; "
            f"unpack {VOC_ARCHIVE} again"
        )
    return tuple(dict.fromkeys(names))


def training_images(home: Path, own: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the stems of all training images in alphabetical order, and the lists that they are from.

    Args:
        own: stems of VOC's train.

    Raises:
        UserError: SBD's masks have not been prepared.
    """
    lists = [listing for listing in TRAIN_LISTS if (home / LISTS / listing).is_file()]
    masks = home / ADDED_MASKS
    if masks.is_dir() and lists:
        return tuple(sorted(stems(home, lists[0]))), (f"{LISTS}/{lists[0]}",)
    if masks.is_dir() and (home / LISTS / ADDED_LIST).is_file():
        both = {*own, *stems(home, ADDED_LIST)}
        return tuple(sorted(both)), (f"{LISTS}/train.txt", f"{LISTS}/{ADDED_LIST}")
    missing = masks if lists else home / LISTS / TRAIN_LIST
    raise UserError(
        f"the masks of SBD are not prepared: there is no {printable(missing)}; unpack {ARCHIVE} of SBD "
        f"beside {printable(home)} and run: mmbench data prepare {NAME}"
    )


def _pairs(names: tuple[str, ...], own: Collection[str]) -> tuple[Pair, ...]:
    return tuple(Pair(f"{IMAGES}/{name}.jpg", label_map_of(name, own), name) for name in names)


def label_map_of(name: str, own: Collection[str]) -> str:
    """Return the mask of an image, below VOC2012: VOC's own if it has one, else that made of SBD's.

    Args:
        own: stems of the images that VOC has a mask of.
    """
    return f"{OWN_MASKS if name in own else ADDED_MASKS}/{name}.png"
