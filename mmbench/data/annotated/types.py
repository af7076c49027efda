"""What every reader of annotated images returns: objects, images, splits, and the data set of them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmbench.data.annotated.findings import Finding
from mmbench.data.content_hashes import content_digests, digest_of_files
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
    """One image and its objects.

    Attributes:
        path: below the root of its split.
        name: what the annotations call it: COCO's image id, VOC's stem.
        width, height: of the frame that boxes refer to, in pixels.
        apply_exif: whether that frame is the image as displayed; if not, the pixels as they are stored.
    """

    path: str
    name: str
    width: int
    height: int
    instances: tuple[Instance, ...] = ()
    apply_exif: bool = True


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
        """Return the SHA-256 over names and contents of the annotation files and images."""
        paths = [*self.files, *(image.path for image in self.images)]
        return digest_of_files(paths, [*content_digests(self.root, self.files), *self.contents])


@dataclass(frozen=True)
class AnnotatedData:
    """A detection data set.

    Attributes:
        name: of the data set.
        root: its folder.
        layout: how its files are arranged, in words, such as "COCO".
        classes: names, without background, in the order of labels.
        finders: reads and checks a split; called once per split.
        remarks: one line for each decision that was made when the files were found.
        keypoints: names of the keypoints of a class, where there are some.
        keypoint_flips: pairs of keypoints that change places when an image is mirrored.
        stated_fingerprint: replaces the fingerprint of the splits; for data whose records came first.
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
    _read: dict[str, AnnotatedSplit] = field(default_factory=dict, repr=False, compare=False)

    def split(self, name: Split) -> AnnotatedSplit:
        """Return a split, read once per process.

        Raises:
            UserError: there is no such split, or its files cannot be read at all.
        """
        if name not in self.finders:
            raise UserError(
                f"data set '{self.name}' at {self.root} has no {name} split with boxes "
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
