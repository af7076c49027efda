"""PASCAL VOC for detection: trained on 2007 and 2012 trainval, tested on 2007 test, as papers do."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmbench.data.annotated.findings import Finding
from mmbench.data.annotated.places import HOMES, find_place
from mmbench.data.annotated.split_checks import check_objects
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.annotated.voc import VocAnnotations, VocPart, VocReader
from mmbench.data.annotated.voc_folder import LISTS, devkit_entries
from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.official import NOT_COMPARABLE, PUBLISHED, Official
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
# split -> (folder of a year, list in it)
BOTH_YEARS: Mapping[Split, Sequence[tuple[str, str]]] = {
    "train": (("VOC2007", "trainval"), ("VOC2012", "trainval")),
    "test": (("VOC2007", "test"),),
}
ONLY_2007: Mapping[Split, Sequence[tuple[str, str]]] = {
    "train": (("VOC2007", "trainval"),),
    "test": (("VOC2007", "test"),),
}
# Images of the official archives.
OFFICIAL = {("VOC2007", "trainval"): 5011, ("VOC2007", "test"): 4952, ("VOC2012", "trainval"): 11540}
ARCHIVES = {
    ("VOC2007", "trainval"): "VOCtrainval_06-Nov-2007.tar",
    ("VOC2007", "test"): "VOCtest_06-Nov-2007.tar",
    ("VOC2012", "trainval"): "VOCtrainval_11-May-2012.tar",
}
PUBLISHED.register("voc")(
    (
        Official(
            "VOC2007 and VOC2012",
            "boxes",
            len(CLASSES),
            {split: sum(OFFICIAL[part] for part in parts) for split, parts in BOTH_YEARS.items()},
            "AP",
            ", ".join(ARCHIVES.values()),
        ),
    )
)
OBTAIN = f"what {', '.join(ARCHIVES.values())} unpack to"
IMAGE_SIZE = 224


def voc_data(name: str, home: Path, parts: Mapping[Split, Sequence[tuple[str, str]]]) -> AnnotatedData:
    """Return VOC from the folders of its years; no file is read before a split is needed.

    Args:
        name: of the data set.
        home: the folder with VOC2007 and VOC2012.
        parts: which lists each split is made of.
    """

    def read(split: Split) -> AnnotatedSplit:
        return _read(home, split, parts[split])

    finders = {split: functools.partial(read, split) for split in parts}
    return AnnotatedData(name, home, "VOC", CLASSES, finders)


def _read(home: Path, split: Split, parts: Sequence[tuple[str, str]]) -> AnnotatedSplit:
    for part in parts:
        _require(home, *part)
    entries = [entry for year, listing in parts for entry in devkit_entries(home, year, listing)]
    lists = tuple(f"{year}/{LISTS}/{listing}.txt" for year, listing in parts)
    reader = VocReader(VocAnnotations(home, entries, origin=1), CLASSES)
    found, findings = reader.read(VocPart(split, tuple(entries), lists, required=True))
    check_objects(found.images, CLASSES, findings)
    lines = findings.found()
    official = sum(OFFICIAL[part] for part in parts)
    if len(entries) != official:
        what = f"{split}: {len(entries)} images are listed, where VOC has {official}"
        lines = (*lines, Finding(what, "kept", NOT_COMPARABLE))
    return replace(found, findings=lines)


def _require(home: Path, year: str, listing: str) -> None:
    """Check that a part of VOC is there.

    Raises:
        UserError: it is not; the message names the archive.
    """
    folder = home / year
    if (folder / LISTS / f"{listing}.txt").is_file() and (folder / "Annotations").is_dir():
        return
    raise UserError(
        f"VOC's {listing} of {year.removeprefix('VOC')} is missing: there is no "
        f"{printable(folder / LISTS / listing)}.txt with {year}/Annotations; unpack "
        f"{ARCHIVES[year, listing]} into {printable(home.parent if home.name == 'VOCdevkit' else home)}"
    )


def _home(root: Path) -> Path:
    """Return the folder with VOC2007 and, if it is anywhere, VOC2012.

    Raises:
        UserError: there is none; the message lists the places that were tried.
    """
    try:
        return find_place(root, HOMES["voc"], lambda place: _has(place, "VOC2007", "VOC2012"), OBTAIN)
    except UserError:
        return find_place(root, HOMES["voc"], lambda place: _has(place, "VOC2007"), OBTAIN)


def _has(place: Path, *years: str) -> bool:
    return all((place / year).is_dir() for year in years)


@DATASETS.register("voc")
def load_voc(root: Path) -> Dataset:
    """Return VOC for detection: train is 2007 + 2012 trainval, test is 2007 test.

    The folder with VOC2007 and VOC2012 is `root`, VOCdevkit in it or beside it, or one of those below
    MMBENCH_DATA or DETECTRON2_DATASETS.

    Raises:
        UserError: a part of it is missing; the message names the archive.
    """
    home = _home(root)
    for part in dict.fromkeys(part for parts in BOTH_YEARS.values() for part in parts):
        _require(home, *part)
    data = voc_data("voc", home, BOTH_YEARS)
    return Dataset("voc", home, CLASSES, image_size=IMAGE_SIZE, annotated=data)
