"""What every reader of annotated images returns: objects, images, splits, and the data set of them.

Images have objects, or a label map that says for each pixel what it shows.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbench.data.annotated.findings import Finding
from mmbench.data.file_facts.content_hashes import content_digests, digest_of_files
from mmbench.data.label_maps.types import LabelMaps
from mmbench.data.types import Split
from mmbench.errors import UserError

Box = tuple[float, float, float, float]
Segmentation = list[list[float]] | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Instance:
    """One object.

    Attributes:
        label: index into the data set's classes.
        box: left, top, right, bottom in pixels; 0 is the outer edge of the first pixel, and right and bottom
            are outer edges too. It lies in the image and has an area.
        area: in px²: of the mask where there is one, else of the box.
        crowd: the region holds many objects; detections in it count neither as right nor as wrong.
        difficult: used in training, and not counted in evaluation (VOC).
        segmentation: polygons (x1, y1, x2, y2, ...) or compressed RLE as in COCO; None without a mask.
        keypoints: (x, y, visibility) per keypoint, flat, as in COCO.
    """

    label: int
    box: Box
    area: float
    crowd: bool = False
    difficult: bool = False
    segmentation: Segmentation | None = None
    keypoints: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image, and its objects or its label map.

    Attributes:
        path: below the root of its split.
        name: what the annotations call it: COCO's image id, VOC's stem.
        width, height: of the frame that annotations refer to, in pixels; a label map has that size.
        apply_exif: whether that frame is the image as displayed; if not, the pixels as they are stored.
        label_map: file of its label map, below the root; None where it has objects.
    """

    path: str
    name: str
    width: int
    height: int
    instances: tuple[Instance, ...] = ()
    apply_exif: bool = True
    label_map: str | None = None

    @property
    def annotated(self) -> bool:
        """Whether there is something to learn from it."""
        return bool(self.instances) or self.label_map is not None


@dataclass(frozen=True)
class AnnotatedSplit:
    """One split, read and checked.

    Attributes:
        root: the folder that image paths are below.
        images: those that are used.
        files: annotation files, below `root`; with the images they are the identity of the split.
        findings: what is unusual, and what was done about it.
    """

    root: Path
    images: tuple[AnnotatedImage, ...]
    files: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    @functools.cached_property
    def contents(self) -> list[bytes]:
        """SHA-256 of each image's bytes, empty where it cannot be read; see `content_hashes`."""
        return content_digests(self.root, [image.path for image in self.images])

    def fingerprint(self) -> str:
        """Return the SHA-256 over names and contents of the annotation files, images and label maps."""
        maps = [image.label_map for image in self.images if image.label_map is not None]
        paths = [*self.files, *(image.path for image in self.images), *maps]
        contents = [
            *content_digests(self.root, self.files),
            *self.contents,
            *content_digests(self.root, maps),
        ]
        return digest_of_files(paths, contents)


@dataclass(frozen=True)
class AnnotatedData:
    """A data set of images with objects, or with label maps.

    Attributes:
        name: of the data set.
        root: its folder.
        layout: how its files are arranged, in words, such as "COCO".
        classes: names in the order of labels. Of objects without background; of label maps all that count,
            the background too where there is one.
        finders: reads and checks a split; called once per split.
        remarks: one line for each decision that was made when the files were found.
        keypoints: names of the keypoints of a class, where there are some.
        keypoint_flips: pairs of keypoints that change places when an image is mirrored.
        stated_fingerprint: replaces the fingerprint of the splits; for data whose records came first.
        label_maps: how label maps are read and what they mean; None where images have objects.
    """

    name: str
    root: Path
    layout: str
    classes: tuple[str, ...]
    finders: Mapping[Split, Callable[[], AnnotatedSplit]]
    remarks: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()
    keypoint_flips: tuple[tuple[str, str], ...] = ()
    stated_fingerprint: Callable[[], str] | None = None
    label_maps: LabelMaps | None = None
    _read: dict[str, AnnotatedSplit] = field(default_factory=dict, repr=False, compare=False)

    def split(self, name: Split) -> AnnotatedSplit:
        """Return a split, read once per process.

        Raises:
            UserError: there is no such split, or its files cannot be read at all.
        """
        if name not in self.finders:
            raise UserError(
                f"data set '{self.name}' at {self.root} has no {name} split with "
                f"{'boxes' if self.label_maps is None else 'label maps'} "
                f"(it has: {', '.join(self.finders) or 'none'})"
            )
        if name not in self._read:
            self._read[name] = self.finders[name]()
        return self._read[name]

    def fingerprint(self) -> str:
        """Return the SHA-256 over the fingerprints of all splits; contents that were hashed before are not
        read again.
        """
        if self.stated_fingerprint is not None:
            return self.stated_fingerprint()
        parts = [f"{name}:{self.split(name).fingerprint()}" for name in sorted(self.finders)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
