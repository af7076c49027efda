"""Folders in COCO layout: which JSON file and which folder of images belong to which split.

annotations/instances_train2017.json, train2017/1.jpg             the layout of COCO
annotations/train.json, images/train/1.jpg
train/_annotations.coco.json, train/1.jpg                         as common exporters write it
train.json, train/1.jpg
annotations.json, images/1.jpg                                    without splits
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.annotated.coco_image_folders import CocoFiles, image_folder
from mmbench.data.folder.scan import is_system_name
from mmbench.data.folder.split_names import splits_among
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import listed, printable

ENDS_BYTES = 2**17  # looked at on both ends of a file to recognise its kind
TABLE = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
LABELME = re.compile(rb'"shapes"\s*:\s*\[')
FOLDERS = ("annotations", "Annotations", "annotation", "labels")
# Words in names of annotation files that do not say which split they are of.
FILLERS = re.compile(r"_annotations|annotations?|instances|coco|default|labels?|bbox|detections?|json", re.I)
# COCO's other annotation files, which lie beside those of the instances.
OTHER_KINDS = re.compile(r"^(captions|panoptic|image_info|stuff|person_keypoints)_", re.I)


@dataclass(frozen=True)
class CocoPart:
    """One split: the JSON file and the folder of images, below the root of the data set."""

    annotations: str
    images: str


@dataclass(frozen=True)
class CocoFolder:
    """A folder in COCO layout.

    Attributes:
        splits: name of a split, as the files call it -> its files.
        meanings: name of a split -> the split that it means.
        remarks: what was decided, one line each.
    """

    root: Path
    splits: Mapping[str, CocoPart]
    meanings: Mapping[str, Split]
    remarks: tuple[str, ...] = ()


def find_coco(root: Path) -> CocoFolder | None:
    """Return a folder in COCO layout, None if it has no COCO file where one is looked for.

    Raises:
        UserError: several files for one split, or several that no split is known of; images in several
            folders, of which none is the likeliest.
    """
    if not root.is_dir():
        return None
    paths = [path for path in _candidates(root) if is_coco_file(path)]
    remarks = []
    chosen = [path for path in paths if path.name.lower().startswith("instances_")]
    chosen = chosen or [path for path in paths if not OTHER_KINDS.match(path.name)] or paths
    if not chosen:
        return None
    if len(chosen) < len(paths):
        left_out = [_below(root, path) for path in paths if path not in chosen]
        remarks.append(f"left out: other annotation files ({listed(left_out)})")
    names = {path: _split_name(root, path) for path in chosen}
    unnamed = [path for path, name in names.items() if not name]
    if unnamed and len(chosen) > 1:
        raise UserError(
            f"{printable(root)} has {len(chosen)} COCO files, and {printable(_below(root, unnamed[0]))} does "
            "not say which split it is of; name each after its split, such as annotations/train.json"
        )
    meanings: dict[str, Split] = {"": "train"} if unnamed else splits_among(sorted(set(names.values())))
    files: dict[str, Path] = {}
    for path, name in names.items():
        if name in files:
            first, second = (printable(_below(root, other)) for other in (files[name], path))
            raise UserError(
                f"{printable(root)} has two COCO files for {name} ({first} and {second}); keep one of them"
            )
        files[name] = path
    splits: dict[str, CocoPart] = {}
    for name, path in files.items():
        folder, remark = image_folder(CocoFiles(root, files, meanings), name)
        splits[name] = CocoPart(_below(root, path), _below(root, folder))
        remarks += [remark] if remark else []
    return CocoFolder(root, splits, meanings, tuple(remarks))


def _below(root: Path, path: Path) -> str:
    below = path.relative_to(root).as_posix()
    return "" if below == "." else below


def _candidates(root: Path) -> list[Path]:
    """Return JSON files at the places where COCO files are expected."""
    folders = [root, *(root / name for name in FOLDERS)]
    inner = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not is_system_name(entry.name)]
    for entry in inner:
        if splits_among([entry.name]):
            folders += [entry, *(entry / name for name in FOLDERS)]
    found: dict[Path, None] = {}
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir() or folder.resolve() in seen:  # names that differ in case may be one folder
            continue
        seen.add(folder.resolve())
        found |= dict.fromkeys(path for path in sorted(folder.glob("*.json")) if path.is_file())
    return list(found)


def is_coco_file(path: Path) -> bool:
    """Return whether a JSON file looks like one of COCO, without parsing it: it may be of 500 MB."""
    try:
        with path.open("rb") as stream:
            start = stream.read(ENDS_BYTES)
            stream.seek(max(0, path.stat().st_size - ENDS_BYTES))
            ends = start + stream.read()
    except OSError:
        return False
    return TABLE.search(ends) is not None and LABELME.search(ends) is None


def _split_name(root: Path, path: Path) -> str:
    """Return what the files call a split: "train2017" of instances_train2017.json; "" if nothing is said."""
    stem = FILLERS.sub("", path.stem).strip("_-. ")
    if stem and splits_among([stem]):
        return stem
    parents = [part for part in path.relative_to(root).parts[:-1] if splits_among([part])]
    return parents[-1] if parents else ""
