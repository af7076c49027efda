"""ADE20K (Zhou et al. 2017) for scene parsing: 150 classes, as ADEChallengeData2016.zip unpacks.

A mask file holds 1 to 150, the classes, and 0 for everything else. Pixels of 0 do not count
(mmsegmentation: reduce_zero_label), so class i of 0 to 149 is value i + 1.
"""

from __future__ import annotations

import functools
from pathlib import Path

import yaml

from mmbench.data.annotated.places import HOMES, find_place
from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.label_maps.published import published_data
from mmbench.data.label_maps.types import IGNORED, Coding, Colour, Pair, Part, Stated
from mmbench.data.official import PUBLISHED, Official
from mmbench.data.types import Split

NAME, ARCHIVE = "ade20k", "ADEChallengeData2016.zip"
OFFICIAL = Official(
    "ADE20K",
    "label maps",
    150,
    {"train": 20210, "val": 2000},
    "mIoU",
    ARCHIVE,
)
PUBLISHED.register(NAME)((OFFICIAL,))
FACTS = Path(__file__).with_name("ade20k.yaml")
IMAGES, MASKS = "images", "annotations"
FOLDERS: dict[Split, str] = {"train": "training", "val": "validation"}


@DATASETS.register(NAME)
def load_ade20k(root: Path) -> Dataset:
    """Return ADE20K with 150 classes and no background; its splits are train and val.

    Raises:
        UserError: it is in none of the usual places; the message names the archive.
    """
    obtain = f"what {ARCHIVE} unpacks to"
    home = find_place(
        root,
        HOMES[NAME],
        lambda place: any((place / MASKS / part).is_dir() for part in FOLDERS.values()),
        obtain,
    )
    classes, palette = classes_and_palette()
    coding = Coding("values", {0: IGNORED} | {label + 1: label for label in range(len(classes))})
    parts = {split: _part(home, split, folder) for split, folder in FOLDERS.items()}
    data = published_data(NAME, home, parts, Stated(classes, None, coding, palette), OFFICIAL)
    return Dataset(NAME, home, classes, label_maps=data)


@functools.cache
def classes_and_palette() -> tuple[tuple[str, ...], tuple[Colour, ...]]:
    """Return the names and the colours of the 150 classes."""
    rows = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    colours = (bytes.fromhex(colour) for _, colour in rows)
    return tuple(name for name, _ in rows), tuple((red, green, blue) for red, green, blue in colours)


def _part(home: Path, split: Split, folder: str) -> Part:
    """Return the pairs of one folder; an image or a mask may be missing."""
    images = {path.stem for path in (home / IMAGES / folder).glob("*.jpg")}
    masks = {path.stem for path in (home / MASKS / folder).glob("*.png")}
    pairs = tuple(
        Pair(f"{IMAGES}/{folder}/{stem}.jpg", f"{MASKS}/{folder}/{stem}.png", stem)
        for stem in sorted(images | masks)
    )
    return Part(split, folder, pairs)
