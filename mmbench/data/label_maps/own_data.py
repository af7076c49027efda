"""A user's folder of images with label maps as a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from mmbench.data.annotated.own_boxes import named_splits
from mmbench.data.annotated.own_splits import with_evaluation
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.own_classes import find_classes
from mmbench.data.label_maps.own_folder import LabelMapFolder
from mmbench.data.label_maps.reading import label_map_data
from mmbench.data.label_maps.types import Part, Stated


def label_maps_of(
    name: str, folder: LabelMapFolder, title: str, where: str, boxes: AnnotatedData | None
) -> AnnotatedData:
    """Return the data set of a folder.

    Args:
        title: of the layout.
        where: the folder inside that was entered, in words.
        boxes: of the same images, if there are some; their classes are taken where no file lists any.

    Raises:
        UserError: label maps or a file of classes that cannot be used at all.
    """
    names, splits = named_splits(folder.meanings, folder.root)
    stated, files, remarks = _classes(folder, boxes)
    parts = {
        split: Part(
            split,
            called or "train",
            folder.parts[called],
            (*((folder.lists[called],) if called in folder.lists else ()), *files),
        )
        for split, called in names.items()
    }
    data = label_map_data(name, folder.root, title, parts, stated)
    first = f"read in {title} layout{where}: {splits}"
    data = replace(data, remarks=(first, *folder.remarks, *remarks, *data.remarks))
    return with_evaluation(data, {split: called or "train" for split, called in names.items()})


def _classes(
    folder: LabelMapFolder, boxes: AnnotatedData | None
) -> tuple[Stated, tuple[str, ...], tuple[str, ...]]:
    """Return what is known of classes, the files that it is from, and remarks."""
    inside: dict[str, None] = {}  # folders of label maps, and those around them
    for pairs in folder.parts.values():
        for pair in pairs:
            inside |= dict.fromkeys(str(parent) for parent in PurePosixPath(pair.label_map).parents)
    found = find_classes(folder.root, list(inside))
    if found is not None:
        return found.stated, (found.path,), found.remarks
    if boxes is not None and folder.style != "voc":
        remark = "classes of label maps are those of the boxes, in their order from 1; 0 is background"
        return Stated(boxes.classes, "background"), (), (remark,)
    return Stated(), (), ()
