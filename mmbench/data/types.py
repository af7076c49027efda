"""One split of a data set: decoded in memory, or as files."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from mmbench.data.content_hashes import content_digests

Split = Literal["train", "val", "test"]
Metric = Literal["top1", "mean_per_class", "mAP"]


@dataclass(frozen=True)
class ImageSplit:
    """One split in memory.

    Attributes:
        images: uint8, (N, 3, H, W), RGB.
        labels: int64, (N,), indices into the data set's classes; of a multi-label set int64 (N, classes):
            1 where the class is there, 0 where it is not, -1 where that is not to count.
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
    """One split as files, for those who read pictures at another size or not all at once.

    Attributes:
        root: the folder that all paths are below.
        paths: one per picture, relative to `root`.
        labels: as in `ImageSplit`.
    """

    root: Path
    paths: Sequence[str]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, indices: Tensor) -> ImageFiles:
        """Return the pictures at `indices`; what is known of their contents is not read again."""
        chosen = indices.tolist()
        part = ImageFiles(self.root, [self.paths[index] for index in chosen], self.labels[indices])
        if "contents" in self.__dict__:
            part.__dict__["contents"] = [self.contents[index] for index in chosen]
        return part

    @functools.cached_property
    def contents(self) -> Sequence[bytes]:
        """SHA-256 of each file's bytes, empty where a file cannot be read; see `content_hashes`."""
        return content_digests(self.root, self.paths)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, contents and labels of the files."""
        digest = hashlib.sha256()
        for path, content, label in zip(self.paths, self.contents, self.labels.tolist(), strict=True):
            digest.update(b"%s\0%s:%s\n" % (os.fsencode(path), content.hex().encode(), str(label).encode()))
        return digest.hexdigest()
