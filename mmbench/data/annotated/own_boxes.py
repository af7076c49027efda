"""A user's folder of images with boxes whose layout is known, as a data set."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mmbench.data.annotated.coco import CocoSource, coco_data
from mmbench.data.annotated.coco_folder import CocoFolder
from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.own_splits import with_evaluation
from mmbench.data.annotated.split_checks import check_objects, require_distinct
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.annotated.voc import VocAnnotations, VocPart, VocReader
from mmbench.data.annotated.voc_folder import VocFolder
from mmbench.data.annotated.walking import read_names
from mmbench.data.annotated.yolo import YoloPart, read_yolo
from mmbench.data.annotated.yolo_folder import YoloFolder
from mmbench.data.folder.split_names import require_one_each
from mmbench.data.types import SPLITS, Split
from mmbench.file_names import counted, printable

VOC_NAME_LISTS = ("labels.txt", "classes.txt", "labelmap.txt")
NO_CLASSES = frozenset({"background", "_background_", "__background__", "__ignore__"})
BoxFolder = CocoFolder | VocFolder | YoloFolder


def named_splits(meanings: Mapping[str, Split], root: Path) -> tuple[dict[Split, str], str]:
    """Return what a folder calls each split, and that in words.

    Raises:
        UserError: two names mean one split.
    """
    require_one_each(dict(meanings), printable(root))
    by_split = {split: called for called, split in meanings.items()}
    names: dict[Split, str] = {split: by_split[split] for split in SPLITS if split in by_split}
    shown = ", ".join(
        split if called in (split, "") else f"{split} ({printable(called)})"
        for split, called in names.items()
    )
    return names, shown


def boxes_of(name: str, folder: BoxFolder, read_in: str) -> AnnotatedData:
    """Return the data set of a folder.

    Args:
        read_in: the layout, and the folder inside that was entered, in words.

    Raises:
        UserError: see `find_own`.
    """
    names, splits = named_splits(folder.meanings, folder.root)
    if isinstance(folder, CocoFolder):
        data = _of_coco(name, folder, names)
    elif isinstance(folder, VocFolder):
        data = _of_voc(name, folder, names)
    else:
        data = _of_yolo(name, folder, names)
    data = replace(data, remarks=(f"read in {read_in}: {splits}", *folder.remarks, *data.remarks))
    return with_evaluation(data, {split: called or "train" for split, called in names.items()})


def _of_coco(name: str, folder: CocoFolder, names: Mapping[Split, str]) -> AnnotatedData:
    sources = {
        split: CocoSource(folder.root, folder.splits[called].annotations, folder.splits[called].images, split)
        for split, called in names.items()
    }
    return coco_data(name, sources)


def _of_voc(name: str, folder: VocFolder, names: Mapping[Split, str]) -> AnnotatedData:
    entries = [entry for called in names.values() for entry in folder.splits[called]]
    annotations = VocAnnotations(folder.root, entries)
    classes, remarks = _voc_classes(folder.root, annotations)
    require_distinct(classes, printable(folder.root))
    reader = VocReader(annotations, classes)

    def read(split: Split, called: str) -> AnnotatedSplit:
        lists = (folder.lists[called],) if called in folder.lists else ()
        part = VocPart(split, folder.splits[called], lists, required=split != "train")
        return _checked(*reader.read(part), classes)

    finders = {split: functools.partial(read, split, called) for split, called in names.items()}
    return AnnotatedData(name, folder.root, "VOC", classes, finders, remarks)


def _voc_classes(root: Path, annotations: VocAnnotations) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes, and a remark on where they are from."""
    for listing in VOC_NAME_LISTS:
        if (root / listing).is_file():
            names = [line.partition(":")[0].strip() for line in read_names(root / listing) if line[0] != "#"]
            classes = tuple(name for name in names if name.lower() not in NO_CLASSES)
            return classes, (f"{counted(len(classes), 'class')} from {listing}",)
    return annotations.class_names(), ()


def _of_yolo(name: str, folder: YoloFolder, names: Mapping[Split, str]) -> AnnotatedData:
    require_distinct(folder.classes, printable(folder.root))

    def read(split: Split, called: str) -> AnnotatedSplit:
        part = YoloPart(
            split, folder.splits[called], folder.files, required=split != "train", keypoints=folder.keypoints
        )
        return _checked(*read_yolo(folder.root, part, folder.classes), folder.classes)

    finders = {split: functools.partial(read, split, called) for split, called in names.items()}
    return AnnotatedData(name, folder.root, "YOLO", folder.classes, finders)


def _checked(split: AnnotatedSplit, findings: Findings, classes: tuple[str, ...]) -> AnnotatedSplit:
    """Return a split with all its findings."""
    check_objects(split.images, classes, findings)
    return replace(split, findings=findings.found())
