"""The images that a COCO file lists, each with its file and its annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmbench.data.annotated.coco_json import CocoContent, Ids
from mmbench.data.annotated.findings import Findings
from mmbench.errors import shown

# What of an annotation is read.
OF_OBJECTS = ("category_id", "bbox", "segmentation", "iscrowd", "area", "keypoints", "ignore", "difficult")
Entries = Sequence[Mapping[str, Any]]
# From a file name: the path of the image below the root, and whether it is where the name says.
Find = Callable[[str], tuple[str, bool]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image.

    Attributes:
        name: its id.
        path: of its file, below the root of the data set.
        stated: width and height in pixels; None if the file does not state them.
        annotations: its objects as the file states them.
    """

    name: str
    path: str
    stated: tuple[int, int] | None
    annotations: list[Mapping[str, Any]] = field(default_factory=list)


def read_entries(content: CocoContent, find: Find, findings: Findings, *, published: bool) -> list[Entry]:
    """Return the images in the order of their paths.

    Args:
        content: of the COCO file.
        find: finds the image files.
        findings: what was done is added here.
        published: whether peculiarities of ids are expected and not worth a line.
    """
    images = [image for image in content.images if _has_id(image, findings)]
    entries = [_entry(image, find, findings) for image in images]
    ids = Ids(image["id"] for image in images)
    unique: list[Entry] = []
    for position, (image, entry) in enumerate(zip(images, entries, strict=True)):
        first = ids.position(image["id"])
        if first == position:
            unique.append(entry)
        elif first is not None:
            _same_id(entry, entries[first], findings)
    if not published:
        for image, entry in zip(images, entries, strict=True):
            if isinstance(image["id"], str):
                findings.add("id as text", "ids as text", "converted", "matched as numbers", entry.path)
    _attach(content.annotations, entries, ids, findings, published=published)
    return _once_each(unique, findings)


def _has_id(image: Mapping[str, Any], findings: Findings) -> bool:
    name = image.get("file_name")
    if isinstance(image.get("id"), str | int | float) and isinstance(name, str) and name.strip("/\\ "):
        return True
    findings.add(
        "image entry without id or file_name",
        "image entries without id or file_name",
        "refused",
        "export the file again",
        shown(dict(image)),
    )
    return False


def _entry(image: Mapping[str, Any], find: Find, findings: Findings) -> Entry:
    name: str = image["file_name"]
    path, direct = find(name)
    if not direct:
        findings.add(
            "file name with a path that does not exist here",
            "file names with paths that do not exist here",
            "converted",
            "found by the end of the path",
            name,
        )
    try:
        stated: tuple[int, int] | None = (int(image["width"]), int(image["height"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        stated = None
    if stated is not None and min(stated) <= 0:
        stated = None
    if stated is None:
        findings.add(
            "image without a stated size",
            "images without a stated size",
            "converted",
            "the size of the file is used",
            path,
        )
    return Entry(str(image["id"]), path, stated)


def _same_id(entry: Entry, first: Entry, findings: Findings) -> None:
    if entry.path == first.path:
        findings.add(
            "image listed twice", "images listed twice", "converted", "the entries are the same", entry.path
        )
        return
    findings.add(
        "image with the id of another one",
        "images with the ids of others",
        "refused",
        "objects cannot be assigned to them; number the images apart",
        f"{first.path} and {entry.path}",
    )


def _attach(
    annotations: Entries, entries: Sequence[Entry], ids: Ids, findings: Findings, *, published: bool
) -> None:
    """Give each image its annotations."""
    position_of, seen = ids.position, set()
    for annotation in annotations:
        position = position_of(annotation.get("image_id"))
        if position is None:
            findings.add(
                "box of an image that the file does not list",
                "boxes of images that the file does not list",
                "dropped",
                "",
                f"image id {shown(annotation.get('image_id'))}",
            )
            continue
        entries[position].annotations.append(annotation)
        key = annotation.get("id")
        if not published and isinstance(key, int | str):
            if key in seen:
                findings.add(
                    "annotation with the id of another one",
                    "annotations with the ids of others",
                    "converted",
                    "ids of annotations are not used",
                    entries[position].path,
                )
            seen.add(key)


def _once_each(entries: Sequence[Entry], findings: Findings) -> list[Entry]:
    """Return the entries by path, without those that repeat another one."""
    found: dict[str, Entry] = {}
    for entry in entries:
        first = found.setdefault(entry.path, entry)
        if first is entry:
            continue
        if _objects(first) == _objects(entry):
            findings.add(
                "image listed twice with the same objects",
                "images listed twice with the same objects",
                "converted",
                "used once",
                entry.path,
            )
        else:
            findings.add(
                "image listed twice with different objects",
                "images listed twice with different objects",
                "refused",
                "it is unclear which of the objects are there; list each image once",
                entry.path,
            )
    return [found[path] for path in sorted(found)]


def _objects(entry: Entry) -> list[str]:
    return sorted(repr([item.get(key) for key in OF_OBJECTS]) for item in entry.annotations)
