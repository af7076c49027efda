"""One split of a data set, in memory or as files; and scenes: images with boxes and masks."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmbench.data.file_facts.content_hashes import content_digests, digest_of_files
from mmbench.data.images.image_places import ImagePlace

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Metric = Literal["top1", "mean_per_class", "mAP"]


@dataclass(frozen=True)
class ImageSplit:
    """One split in memory.

    Attributes:
        images: uint8, (N, 3, H, W), RGB.
        labels: int64, (N,), indices into the data set's classes. For a multi-label data set int64
            (N, classes): 1 where the class is present, 0 where it is absent, -1 where it is not evaluated.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the decoded pixels, their shape and the labels."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class ImageFiles:
    """One split as files, for reading images at another size, or a part of them at a time.

    A packed copy has its own kind, `mmbench.data.packs.reading.PackedFiles`: read images through `place`.

    Attributes:
        root: the folder that all paths are below.
        paths: one per image, relative to `root`.
        labels: as in `ImageSplit`.
        remarks: what was passed over in their lists, which the start of a run says.
    """

    root: Path
    paths: Sequence[str]
    labels: Tensor
    remarks: tuple[str, ...] = field(default=(), kw_only=True)

    def __len__(self) -> int:
        return len(self.paths)

    def place(self, index: int) -> ImagePlace:
        """Return where an image is, for whatever reads it."""
        return self.root / self.paths[index]

    def subset(self, indices: Tensor) -> ImageFiles:
        """Return the images at `indices`; contents that were hashed already are not read again."""
        chosen = indices.tolist()
        paths = [self.paths[index] for index in chosen]
        part = ImageFiles(self.root, paths, self.labels[indices], remarks=self.remarks)
        if "contents" in self.__dict__:
            part.__dict__["contents"] = [self.contents[index] for index in chosen]
        return part

    def joined(self, others: Sequence[ImageFiles]) -> ImageFiles:
        """Return these images and those of other splits of the same data set; their roots may differ."""
        import torch

        parts = (self, *others)
        paths = [
            path if part.root == self.root else str((part.root / path).absolute())
            for part in parts
            for path in part.paths
        ]
        return ImageFiles(self.root, paths, torch.cat([part.labels for part in parts]))

    @functools.cached_property
    def contents(self) -> Sequence[bytes]:
        """SHA-256 of each file's bytes, empty where a file cannot be read; see `content_hashes`."""
        return content_digests(self.root, self.paths)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, contents and labels of the files."""
        return self._identity()

    def _identity(self) -> str:
        digest = hashlib.sha256()
        for path, content, label in zip(self.paths, self.contents, self.labels.tolist(), strict=True):
            digest.update(b"%s\0%s:%s\n" % (os.fsencode(path), content.hex().encode(), str(label).encode()))
        return digest.hexdigest()


@dataclass(frozen=True)
class Scenes:
    """Detection and segmentation data on disk, the same images for both.

    Layout below `root`: images/{split}/*.png, annotations/{split}.json (COCO: boxes and polygons),
    segmentation/{split}/*.png (uint8; 0 is background, class i is i + 1), and voc/VOC2007/ (VOC XML layout).

    Attributes:
        root: the folder of the scenes.
        classes: the names of the object classes, without background.
    """

    root: Path
    classes: tuple[str, ...]

    def images(self, split: str) -> Path:
        """Return the folder of the split's images."""
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
        """SHA-256 over names and contents of the COCO files and of every image and label map."""
        paths = [
            path.relative_to(self.root).as_posix()
            for folder in ("annotations", "images", "segmentation")
            for path in sorted((self.root / folder).rglob("*"))
            if path.is_file()
        ]
        return digest_of_files(paths, content_digests(self.root, paths))
