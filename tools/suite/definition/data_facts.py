"""What is known of data sets without opening them, and without torch: their names, labels and sizes."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from mmbench.data.manifest import manifest
from mmbench.data.names import OWN_FOLDER, is_path, require_name
from mmbench.tasks import TASKS

# Size of the unpacked files in GB, as their authors publish the archives.
DATA_GB = {
    "ade20k": 1.0,
    "caltech101": 0.14,
    "cars": 1.9,
    "cifar10": 0.18,
    "cifar100": 0.18,
    "cityscapes": 12.0,
    "coco": 20.0,
    "coco-keypoints": 20.0,
    "dtd": 0.6,
    "fashion-mnist": 0.06,
    "fgvc-aircraft": 2.7,
    "flowers102": 0.35,
    "food101": 5.0,
    "imagenet": 145.0,
    "imagenet-100": 14.0,
    "oxford-pets": 0.8,
    "patterns": 0.05,
    "stl10": 2.9,
    "sun397": 37.0,
    "tiny-imagenet": 0.25,
    "voc": 2.8,
    "voc12aug": 2.1,
    "voc2007": 0.9,
}
RENDERED = ("patterns",)


class DataFacts(NamedTuple):
    """What a data set offers.

    Attributes:
        name: of a data set of mmbench, or path of a folder.
        kinds: which of "labels", "boxes" and "label maps" it has; None of a folder, which must be opened.
        multilabel: whether an image has several labels; None if that is not known.
        train_images: in the train split; None if that depends on the files.
        image_size: side in pixels that a small backbone is fed; None if that is not known.
    """

    name: str
    kinds: frozenset[str] | None
    multilabel: bool | None = None
    train_images: int | None = None
    image_size: int | None = None


@cache
def facts_of(data: str) -> DataFacts:
    """Return what is known of a data set.

    Raises:
        UserError: neither a data set (near match named) nor a path.
    """
    if data == OWN_FOLDER or is_path(data):
        return DataFacts(data, None)
    require_name(data)
    known = manifest(data)
    entries = [TASKS.get(task) for task in TASKS.names()]
    kinds = {entry.data for entry in entries if entry.dense and data in entry.by_data}
    if known is None:
        # A plugin's data set may have anything.
        return DataFacts(data, frozenset(kinds) or None)
    train = known.splits["train"]
    images = train.images or known.official.get(train.part)
    return DataFacts(data, frozenset({"labels", *kinds}), known.multilabel, images, known.image_size)
