"""The layout of a user's folder: COCO, VOC, YOLO, label maps or class folders; recognised, or as stated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from mmbench.data.annotated.coco_folder import CocoFolder, find_coco
from mmbench.data.annotated.own_boxes import BoxFolder, boxes_of
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.annotated.voc_folder import find_voc
from mmbench.data.annotated.walking import is_image_name
from mmbench.data.annotated.yolo_folder import find_yolo
from mmbench.data.folder.classes import IMAGES, LABEL_MAPS
from mmbench.data.folder.scan import is_system_name
from mmbench.data.folder.split_names import splits_among
from mmbench.data.label_maps.own_data import label_maps_of
from mmbench.data.label_maps.own_files import may_hold_label_maps, read_files
from mmbench.data.label_maps.own_folder import LabelMapFolder, find_label_maps
from mmbench.data.label_maps.own_words import Meaning, Style, meaning
from mmbench.errors import UserError, unknown_name
from mmbench.file_names import listed, printable
from mmbench.offered import command_has

Layout = Literal["coco", "voc", "yolo", "mmseg", "masks", "folder"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
WRAPPERS = 3  # folders around the data that are entered
VOC_FOLDERS = ("Annotations", "SegmentationClass")
NO_CLASS_FOLDERS = frozenset({*LABEL_MAPS, *IMAGES, "jpegimages", "segmentationobject", "imagesets"})
NEEDED = {
    "coco": "annotations/train.json (or train/_annotations.coco.json) beside folders of images",
    "voc": "JPEGImages, Annotations/*.xml and ImageSets/Main/train.txt",
    "yolo": "data.yaml (names, train, val), images and labels",
    "mmseg": "img_dir/train and ann_dir/train",
    "masks": "images/train and masks/train (or train/images and train/masks, or 1_mask.png beside 1.jpg)",
}

BOXES: Mapping[Layout, Callable[[Path], BoxFolder | None]] = {
    "coco": find_coco,
    "voc": find_voc,
    "yolo": find_yolo,
}
STYLES: Mapping[Layout, Style] = {"voc": "voc", "mmseg": "mmseg", "masks": "masks"}
TITLES: Mapping[Layout, str] = {
    "coco": "COCO",
    "voc": "VOC",
    "yolo": "YOLO",
    "mmseg": "mmsegmentation",
    "masks": "masks",
}


def require_layout(name: str) -> Layout:
    """Return a layout by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in LAYOUTS:
        raise unknown_name("layout", name, LAYOUTS)
    return name


@dataclass(frozen=True)
class OwnData:
    """What a user's folder has: images with boxes, images with label maps, or both.

    Attributes:
        unread: why label maps beside boxes cannot be read.
    """

    annotated: AnnotatedData | None = None
    label_maps: AnnotatedData | None = None
    unread: str = ""


@dataclass
class _Found:
    """The layouts in which a folder can be read.

    Attributes:
        fault: why label maps are not read, beside boxes.
    """

    home: Path
    boxes: dict[Layout, BoxFolder] = field(default_factory=dict)
    label_maps: dict[Layout, LabelMapFolder] = field(default_factory=dict)
    fault: str = ""

    def __bool__(self) -> bool:
        return bool(self.boxes or self.label_maps)


def find_own(root: Path, layout: Layout | None = None) -> OwnData | None:
    """Return the images with boxes or label maps in a folder; None if it has neither in a known layout.

    Args:
        layout: how the folder is laid out; recognised if it is not stated.

    Raises:
        UserError: the folder can be read in two ways, or is not in the stated layout; files that cannot be
            used at all.
    """
    if layout == "folder" or not root.is_dir():
        return None
    found = _found_in(root, layout)
    for _ in range(WRAPPERS):
        inner = _folders(found.home)
        if found or len(inner) != 1:
            break
        found = _found_in(inner[0], layout)
    if not found.boxes:
        _refuse_several(found.home)
    if not found:
        if layout is not None:
            raise UserError(
                f"{printable(root)} is not in {TITLES[layout]} layout, which has {NEEDED[layout]}; "
                "check --layout"
            )
        return None
    if layout is None:
        _refuse_ambiguous(found)
    name = printable(root.resolve().name)
    where = f" in {printable(found.home)}" if found.home != root else ""
    boxes = label_maps = None
    for way, folder in found.boxes.items():
        boxes = boxes_of(name, folder, f"{TITLES[way]} layout{where}")
    for way, maps in found.label_maps.items():
        try:
            label_maps = label_maps_of(name, maps, TITLES[way], where, boxes)
        except UserError as error:
            if boxes is None:
                raise
            found.fault = str(error)
    if boxes is not None and found.fault:
        boxes = replace(boxes, remarks=(*boxes.remarks, f"label maps are left out: {found.fault}"))
    return OwnData(boxes, label_maps, found.fault)


def _refuse_ambiguous(found: _Found) -> None:
    maps = found.label_maps
    # Boxes and label maps of one folder are both read; two kinds of label maps are not.
    ways = list(dict.fromkeys((*found.boxes, *(maps if len(maps) > 1 or not found.boxes else ()))))
    used = {name for folder in maps.values() for name in folder.folders}
    if _has_class_folders(found.home, found.boxes, used):
        ways.append("folder")
    if len(ways) > 1:
        shown = " and as ".join(TITLES.get(way, "class folders") for way in ways)
        if command_has("layout") is False:
            advice = "and this command cannot choose; move the files of all but one out of it"
        else:
            advice = f"choose by --layout {' or --layout '.join(ways)}"
        raise UserError(f"{printable(found.home)} can be read as {shown}; {advice}")


def _found_in(folder: Path, layout: Layout | None) -> _Found:
    """Return the layouts in which a folder can be read, and its files.

    Raises:
        UserError: files that cannot be used; of label maps only where there are no boxes.
    """
    boxes = BOXES if layout is None else {way: find for way, find in BOXES.items() if way == layout}
    styles = STYLES if layout is None else {way: style for way, style in STYLES.items() if way == layout}
    found = _Found(folder)
    found.boxes = {way: part for way, find in boxes.items() if (part := find(folder)) is not None}
    inner = [entry.name for entry in _folders(folder)]
    wrapped = len(inner) == 1 and meaning(inner[0]) == Meaning()  # it is entered
    if wrapped or not styles or (layout is None and not may_hold_label_maps(folder)):
        return found
    files = read_files(folder)
    try:
        for way, style in styles.items():
            maps = find_label_maps(folder, files, style, stated=layout is not None)
            if maps is not None:
                found.label_maps[way] = maps
    except UserError as error:
        if not found.boxes:
            raise
        found.fault = str(error)
    return found


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and not is_system_name(entry.name)]


def _refuse_several(root: Path) -> None:
    """Refuse a folder of several VOC folders, such as VOCdevkit."""
    several = [
        folder.name for folder in _folders(root) if any(map(Path.is_dir, map(folder.joinpath, VOC_FOLDERS)))
    ]
    if len(several) > 1:
        raise UserError(
            f"{printable(root)} holds several VOC folders ({listed(several)}); give one of them, or use "
            "--data voc for VOC2007 + VOC2012"
        )


def _has_class_folders(root: Path, found: Mapping[Layout, BoxFolder], used: Collection[str]) -> bool:
    """Return whether the folder also looks like class folders: images in two folders with other names than
    those of splits, images, annotations, and the folders that are used for label maps.
    """
    folders = _folders(root)
    train = next(
        (folder for folder in folders if splits_among([folder.name]).get(folder.name) == "train"), root
    )
    plain = {
        *NO_CLASS_FOLDERS,
        *used,
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
