"""Reads annotations in VOC layout.

VOC counts pixels from 1, and a box includes both of its ends: xmin 1 is the first column, and xmax is the
last one. As edges that is (xmin - 1, ymin - 1, xmax, ymax); Detectron2's loader
(detectron2/data/datasets/pascal_voc.py) converts in the same way. Files that count from 0 are recognised over
the whole data set, since a single box at 0 may be an error; their values are taken as edges.
"""

from __future__ import annotations

import filecmp
import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.stated import StatedImage, StatedObject, used_images
from mmbench.data.annotated.types import AnnotatedSplit
from mmbench.data.annotated.voc_entries import ANNOTATION_FOLDERS, VocEntry
from mmbench.data.annotated.voc_xml import BrokenAnnotation, VocFile, read_voc_xml
from mmbench.errors import unknown_name


@dataclass(frozen=True)
class VocPart:
    """What one split is read from.

    Attributes:
        name: of the split, for findings.
        entries: its images and annotation files.
        lists: files that list them, below the root.
        required: whether a missing or unreadable image is refused; otherwise it is dropped.
    """

    name: str
    entries: tuple[VocEntry, ...]
    lists: tuple[str, ...] = ()
    required: bool = False


class VocAnnotations:
    """The annotation files of a data set, each read once.

    Args:
        root: the folder that paths are below.
        entries: all images of the data set; those of splits are among them.
        origin: what VOC counts from: 1; None recognises it from the files.
    """

    def __init__(self, root: Path, entries: Iterable[VocEntry], origin: int | None = None) -> None:
        self.root = root
        self._entries = {entry.annotation: entry for entry in entries if entry.annotation}
        self._stated_origin = origin
        self._read: dict[str, VocFile | BrokenAnnotation] = {}

    def file(self, path: str) -> VocFile | BrokenAnnotation:
        """Return the content of one file, or what is wrong with it."""
        if path not in self._read:
            try:
                self._read[path] = read_voc_xml(self.root / path)
            except BrokenAnnotation as error:
                self._read[path] = error
        return self._read[path]

    def _files(self) -> Iterable[VocFile]:
        return (found for found in map(self.file, self._entries) if isinstance(found, VocFile))

    @functools.cached_property
    def by_filename(self) -> Mapping[str, str]:
        """Annotation file -> the image that it names, for files without an image of their own name.

        An image that belongs to another file, or that several name, is not among them.
        """
        taken = {image for entry in self._entries.values() for image in entry.images}
        found: dict[str, str] = {}
        for path, entry in self._entries.items():
            content = None if entry.images else self.file(path)
            if isinstance(content, VocFile) and content.filename:
                image = _expected(path, content.filename.replace("\\", "/").rpartition("/")[2])
                if image not in taken and (self.root / image).is_file():
                    found[path] = image
        times = Counter(found.values())
        return {path: image for path, image in found.items() if times[image] == 1}

    def class_names(self) -> tuple[str, ...]:
        """Return the names of all objects, sorted."""
        return tuple(sorted({thing.name for found in self._files() for thing in found.objects}))

    @functools.cached_property
    def origin(self) -> int:
        """What coordinates count from, 0 or 1.

        In files that count from 1, boxes at the left and upper edge of their image have xmin or ymin 1, and 0
        is a rare error. In files that count from 0 it is the reverse.
        """
        if self._stated_origin is not None:
            return self._stated_origin
        firsts = Counter(
            int(edge)
            for found in self._files()
            for thing in found.objects
            for edge in thing.edges[:2]
            if edge >= 0
        )
        return 0 if firsts[0] and firsts[0] >= firsts[1] else 1


@dataclass(frozen=True)
class VocReader:
    """Reads splits of one data set in VOC layout.

    Attributes:
        annotations: its files.
        classes: names, in the order of labels.
    """

    annotations: VocAnnotations
    classes: tuple[str, ...]

    def read(self, part: VocPart) -> tuple[AnnotatedSplit, Findings]:
        """Return one split, cleaned, and what was found."""
        findings = Findings(part.name)
        labels = {name: label for label, name in enumerate(self.classes)}
        stated: list[StatedImage] = []
        used: set[str] = set()
        for entry in _once(part.entries, findings):
            if not entry.annotation:
                stated += self._without_objects(entry, findings)
                continue
            found = self.annotations.file(entry.annotation)
            if isinstance(found, BrokenAnnotation):
                findings.add(
                    "annotation file that cannot be used",
                    "annotation files that cannot be used",
                    "refused",
                    "fix them, or take their images out of the split",
                    f"{entry.annotation} {found}",
                )
                continue
            path = self._image_of(entry, found, findings)
            root = self.annotations.root
            first = root / entry.annotation
            others = [other for other in entry.others if not filecmp.cmp(first, root / other, shallow=False)]
            if path in used or others:
                one, many = "image with several annotation files", "images with several annotation files"
                place = f"{path}: {' and '.join((entry.annotation, *others[:1]))}"
                findings.add(one, many, "refused", "keep one file for each", place)
            elif path is not None:
                used.add(path)
                objects = tuple(self._objects(found, labels, entry.annotation, findings))
                if found.size is None:
                    findings.add(
                        "image whose annotations do not state its size",
                        "images whose annotations do not state their size",
                        "converted",
                        "read from the image",
                        path,
                    )
                stated.append(StatedImage(path, entry.name, found.size, objects))
        images = used_images(self.annotations.root, stated, findings, required=part.required)
        paths = dict.fromkeys(entry.annotation for entry in part.entries if entry.annotation)
        files = (*part.lists, *paths)
        return AnnotatedSplit(self.annotations.root, images, files), findings

    def _without_objects(self, entry: VocEntry, findings: Findings) -> Iterable[StatedImage]:
        """Yield an image that has no annotation file of its name, unless another file names it."""
        (path,) = entry.images
        if path not in self.annotations.by_filename.values():
            one, many = "image without an annotation file", "images without an annotation file"
            findings.add(one, many, "kept", "images without objects", path)
            yield StatedImage(path, entry.name, None, ())

    def _image_of(self, entry: VocEntry, found: VocFile, findings: Findings) -> str | None:
        """Return the path of an entry's image, which may be missing; None if it is not clear which it is."""
        by_filename = self.annotations.by_filename.get(entry.annotation)
        if entry.shortened or by_filename is not None:
            findings.add(
                "image that is not where its list or annotation file leads",
                "images that are not where their lists or annotation files lead",
                "converted",
                "found by their names",
                by_filename or entry.shortened,
            )
        if by_filename is not None:
            return by_filename
        if not entry.images:
            name = entry.annotation.rpartition("/")[2].rpartition(".")[0]
            _, point, ending = found.filename.rpartition(".")
            return _expected(entry.annotation, f"{name}.{ending if point else 'jpg'}")
        if len(entry.images) == 1:
            return entry.images[0]
        stated = [image for image in entry.images if image.rpartition("/")[2] == found.filename]
        if len(stated) == 1:
            return stated[0]
        findings.add(
            "annotation file with several images of its name",
            "annotation files with several images of their name",
            "refused",
            "keep one image for each",
            f"{entry.annotation}: {' and '.join(entry.images[:2])}",
        )
        return None

    def _objects(
        self, found: VocFile, labels: Mapping[str, int], place: str, findings: Findings
    ) -> Iterable[StatedObject]:
        origin = self.annotations.origin
        for thing in found.objects:
            if thing.name not in labels:
                _unknown_class(thing.name, labels, place, findings)
                continue
            if thing.difficult is None:
                findings.add(
                    "object that does not state whether it is difficult",
                    "objects that do not state whether they are difficult",
                    "converted",
                    "counted as not difficult",
                    place,
                )
            left, top, right, bottom = thing.edges
            if origin == 0 and min(left, top) < 1:
                findings.add(
                    "box that begins at 0",
                    "boxes that begin at 0",
                    "converted",
                    "all boxes of this data set are taken to count pixels from 0, and VOC counts from 1",
                    place,
                )
            box = (left - origin, top - origin, right, bottom)
            yield StatedObject(labels[thing.name], box, bool(thing.difficult))


def _unknown_class(name: str, labels: Mapping[str, int], place: str, findings: Findings) -> None:
    advice = str(unknown_name("class", name, labels)).partition("; ")[2]
    findings.add(
        f"object of the unknown class '{name}'",
        f"objects of the unknown class '{name}'",
        "refused",
        f"rename it, or remove the object; {advice}",
        place,
    )


def _once(entries: Sequence[VocEntry], findings: Findings) -> Iterable[VocEntry]:
    """Yield entries without those that the list names again."""
    seen: set[str] = set()
    for entry in entries:
        key = entry.annotation or entry.images[0]
        if key in seen:
            findings.add("image listed again", "images listed again", "converted", "used once", entry.name)
        else:
            seen.add(key)
            yield entry


def _expected(annotation: str, name: str) -> str:
    """Return where the image of an annotation file belongs if it has that name."""
    *folders, _ = annotation.split("/")
    for place, folder in enumerate(folders):
        if folder.lower() in ANNOTATION_FOLDERS:
            folders[place] = "JPEGImages"
            break
    return "/".join([*folders, name])
