"""The dense part of a data set: boxes, masks and label maps as files."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.content_hashes import content_digests


@dataclass(frozen=True)
class Scenes:
    """Detection and segmentation data on disk, the same pictures for both.

    Layout below `root`: images/{split}/*.png, annotations/{split}.json (COCO: boxes and polygons),
    segmentation/{split}/*.png (uint8; 0 is background, class i is i + 1), and voc/VOC2007/ (VOC XML layout).

    Attributes:
        classes: the names of the things, without background.
    """

    root: Path
    classes: tuple[str, ...]

    def images(self, split: str) -> Path:
        """Return the folder of the split's pictures."""
        return self.root / "images" / split

    def coco_json(self, split: str) -> Path:
        """Return the split's COCO annotation file."""
        return self.root / "annotations" / f"{split}.json"

    def segmentation(self, split: str) -> Path:
        """Return the folder of the split's label maps."""
        return self.root / "segmentation" / split

    @property
    def voc(self) -> Path:
        """Return the VOC folder (Annotations/, ImageSets/Main/, JPEGImages/, SegmentationClass/)."""
        return self.root / "voc" / "VOC2007"

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and contents of the COCO files and of every picture and label map."""
        paths = [
            path.relative_to(self.root).as_posix()
            for folder in ("annotations", "images", "segmentation")
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file()
        ]
        digest = hashlib.sha256()
        for path, content in zip(paths, content_digests(self.root, paths), strict=True):
            digest.update(b"%s\0%s\n" % (os.fsencode(path), content.hex().encode()))
        return digest.hexdigest()
