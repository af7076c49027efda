"""The layout of a user's folder: COCO, VOC, YOLO or class folders; recognised, or as the user states it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from mmbench.data.annotated.coco import CocoSource, coco_data
from mmbench.data.annotated.coco_folder import CocoFolder, find_coco
from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.own_splits import with_evaluation
from mmbench.data.annotated.split_checks import check_objects, require_distinct
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.annotated.voc import VocAnnotations, VocPart, VocReader
from mmbench.data.annotated.voc_folder import VocFolder, find_voc
from mmbench.data.annotated.walking import is_image_name, read_names
from mmbench.data.annotated.yolo import YoloPart, read_yolo
from mmbench.data.annotated.yolo_folder import YoloFolder, find_yolo
from mmbench.data.file_names import counted, listed, printable
from mmbench.data.folder.classes import IMAGES, LABEL_MAPS
from mmbench.data.folder.scan import is_system_name
from mmbench.data.folder.split_names import require_one_each, splits_among
from mmbench.data.types import SPLITS, Split
from mmbench.errors import UserError, unknown_name

Layout = Literal["coco", "voc", "yolo", "folder"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
WRAPPERS = 3  # folders around the data that are entered
VOC_NAME_LISTS = ("labels.txt", "classes.txt", "labelmap.txt")
NO_CLASS_FOLDERS = frozenset({*LABEL_MAPS, *IMAGES, "jpegimages", "segmentationobject", "imagesets"})
NO_CLASSES = frozenset({"background", "_background_", "__background__", "__ignore__"})
NEEDED = {
    "coco": "annotations/train.json (or train/_annotations.coco.json) beside folders of images",
    "voc": "JPEGImages, Annotations/*.xml and ImageSets/Main/train.txt",
    "yolo": "data.yaml (names, train, val), images and labels",
}

Found = CocoFolder | VocFolder | YoloFolder
FINDERS: Mapping[Layout, Callable[[Path], Found | None]] = {
    "coco": find_coco,
    "voc": find_voc,
    "yolo": find_yolo,
}
TITLES: Mapping[Layout, str] = {"coco": "COCO", "voc": "VOC", "yolo": "YOLO"}


def require_layout(name: str) -> Layout:
    """Return a layout by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in LAYOUTS:
        raise unknown_name("layout", name, LAYOUTS)
    return name


def find_annotated(root: Path, layout: Layout | None = None) -> AnnotatedData | None:
    """Return the annotated images in a folder; None if it has no annotation files of a known layout.

    Args:
        layout: how the folder is laid out; recognised if it is not stated.

    Raises:
        UserError: the folder can be read in two ways, or is not in the stated layout; files that cannot be
            used at all.
    """
    if layout == "folder" or not root.is_dir():
        return None
    home, found = root, _found_in(root, layout)
    for _ in range(WRAPPERS):
        inner = _folders(home)
        if found or len(inner) != 1:
            break
        home = inner[0]
        found = _found_in(home, layout)
    if not found:
        _refuse_several(root)
        if layout is not None:
            raise UserError(
                f"{printable(root)} is not in {TITLES[layout]} layout, which has {NEEDED[layout]}; "
                "check --layout"
            )
        return None
    name = printable(root.resolve().name)
    if layout is None:
        ways: list[Layout] = [*found, *(["folder"] if _has_class_folders(home, found) else [])]  # type: ignore[list-item]
        if len(ways) > 1:
            shown = " and as ".join(TITLES.get(way, "class folders") for way in ways)
            raise UserError(
                f"{printable(home)} can be read as {shown}; choose by --layout {' or --layout '.join(ways)}"
            )
    chosen, folder = next(iter(found.items()))
    where = f" in {printable(home)}" if home != root else ""
    return _opened(name, chosen, folder, where)


def _found_in(folder: Path, layout: Layout | None) -> dict[Layout, Found]:
    """Return the layouts in which a folder can be read, and its files."""
    chosen = FINDERS if layout is None else {layout: FINDERS[layout]}
    found = {name: find(folder) for name, find in chosen.items()}
    return {name: files for name, files in found.items() if files is not None}


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not is_system_name(entry.name)]


def _refuse_several(root: Path) -> None:
    """Refuse a folder of several VOC folders, such as VOCdevkit."""
    several = [folder.name for folder in _folders(root) if (folder / "Annotations").is_dir()]
    if len(several) > 1:
        raise UserError(
            f"{printable(root)} holds several VOC folders ({listed(several)}); give one of them, or use "
            "--data voc for VOC2007 + VOC2012"
        )


def _has_class_folders(root: Path, found: Mapping[Layout, Found]) -> bool:
    """Return whether the folder also looks like class folders: images in two folders with other names than
    those of splits, images and annotations.
    """
    folders = _folders(root)
    train = next(
        (folder for folder in folders if splits_among([folder.name]).get(folder.name) == "train"), root
    )
    plain = {
        *NO_CLASS_FOLDERS,
        *(
            part.images
            for files in found.values()
            if isinstance(files, CocoFolder)
            for part in files.splits.values()
        ),
    }
    classes = [
        folder
        for folder in _folders(train)
        if folder.name.lower() not in plain
        and folder.relative_to(root).as_posix() not in plain
        and not splits_among([folder.name])
        and any(is_image_name(entry.name) for entry in folder.iterdir())
    ]
    return len(classes) > 1


def _opened(name: str, layout: Layout, folder: Found, where: str) -> AnnotatedData:
    """Return the data set of a folder whose layout is known."""
    require_one_each(dict(folder.meanings), printable(folder.root))
    by_split = {split: called for called, split in folder.meanings.items()}
    names: dict[Split, str] = {split: by_split[split] for split in SPLITS if split in by_split}
    if isinstance(folder, CocoFolder):
        data = _of_coco(name, folder, names)
    elif isinstance(folder, VocFolder):
        data = _of_voc(name, folder, names)
    else:
        data = _of_yolo(name, folder, names)
    splits = ", ".join(
        split if called in (split, "") else f"{split} ({printable(called)})"
        for split, called in names.items()
    )
    remark = f"read in {TITLES[layout]} layout{where}: {splits}"
    data = replace(data, remarks=(remark, *folder.remarks, *data.remarks))
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
        part = YoloPart(split, folder.splits[called], folder.files, required=split != "train")
        return _checked(*read_yolo(folder.root, part, folder.classes), folder.classes)

    finders = {split: functools.partial(read, split, called) for split, called in names.items()}
    return AnnotatedData(name, folder.root, "YOLO", folder.classes, finders)


def _checked(split: AnnotatedSplit, findings: Findings, classes: tuple[str, ...]) -> AnnotatedSplit:
    """Return a split with all its findings."""
    check_objects(split.images, classes, findings)
    return replace(split, findings=findings.found())
