"""Packed copies as data sets: images are views of memory-mapped files."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmbench.data.dataset import Dataset
from mmbench.data.images.image_places import StoredImage
from mmbench.data.packs.header import AGAIN, COPY_AGAIN, Encoding, PackHeader, read_header
from mmbench.data.packs.shards import Shard, Spans, read_shard, require_files
from mmbench.data.types import ImageFiles, Split
from mmbench.errors import UserError
from mmbench.file_names import original_name, printable
from mmbench.files import sha256_of


@dataclass(frozen=True)
class PackedFiles(ImageFiles):
    """Images of a packed copy; `root` is its folder, and `paths` are names that no file has.

    Attributes:
        shards: the mapped files.
        spans: int64 (N, 3): index into `shards`, the image's first byte there, and the one after its last.
        encoding: how the images are stored.
        stated: the fingerprint in the header; empty for a part of a split.
        folder: that the paths were relative to, below the folder of the source; "" is that folder itself,
            None where the pack does not say it.
    """

    encoding: Encoding
    shards: tuple[Shard, ...]
    spans: Spans
    stated: str = ""
    folder: str | None = None

    def place(self, index: int) -> StoredImage:
        """Return a view of an image's bytes."""
        shard, start, stop = self.spans[index].tolist()
        name = f"{self.root / self.paths[index]}"
        return StoredImage(name, self.shards[shard].view(start, stop), AGAIN)

    def subset(self, indices: Tensor) -> PackedFiles:
        """Return the images at `indices`."""
        part = super().subset(indices)
        chosen = self.spans[indices.numpy()]
        return self._like(part.paths, part.labels, part.contents, self.shards, chosen, self.folder)

    def joined(self, others: Sequence[ImageFiles]) -> ImageFiles:
        """Return these images and those of other splits of the same pack."""
        parts = [self, *(other for other in others if isinstance(other, PackedFiles))]
        spans, shards = [], list[Shard]()
        for part in parts:
            spans.append(part.spans + np.array([len(shards), 0, 0]))
            shards += part.shards
        return self._like(
            [path for part in parts for path in part.paths],
            torch.cat([part.labels for part in parts]),
            [content for part in parts for content in part.contents],
            tuple(shards),
            np.concatenate(spans),
        )

    def _like(
        self,
        paths: Sequence[str],
        labels: Tensor,
        contents: Sequence[bytes],
        shards: tuple[Shard, ...],
        spans: Spans,
        folder: str | None = None,
    ) -> PackedFiles:
        found = PackedFiles(self.root, paths, labels, self.encoding, shards, spans, folder=folder)
        found.__dict__["contents"] = contents
        return found

    def _identity(self) -> str:
        """Return the fingerprint.

        Raises:
            UserError: it is not what the header says.
        """
        found = self.encoding.identity(super()._identity())
        if self.stated and found != self.stated:
            raise UserError(
                f"names, labels or digests in {printable(self.root)} are not those that were packed; "
                f"{COPY_AGAIN}"
            )
        return found

    def changed(self) -> list[str]:
        """Return a line for each image whose bytes are not those that were packed."""
        found = []
        for index, digest in enumerate(self.contents):
            image = self.place(index)
            if hashlib.sha256(image.content).digest() != digest:
                found.append(f"{printable(image.name)} is not the image that was packed; {COPY_AGAIN}")
        return found


def load_pack(folder: Path) -> Dataset:
    """Return a packed copy as a data set.

    Its name is that of the source with the short side, whatever the folder is called.

    Raises:
        UserError: files that are missing, truncated, damaged, or of a newer version.
    """
    header = read_header(folder)
    for split in header.splits.values():
        require_files(folder, split.shards)
    return Dataset(
        header.name,
        folder,
        header.classes,
        image_size=header.image_size,
        files={split: functools.partial(_open_split, folder, header, split) for split in header.splits},
        metric=header.metric,
        multilabel=header.multilabel,
        remarks=header.remarks(),
    )


def _open_split(folder: Path, header: PackHeader, split: Split) -> PackedFiles:
    facts = header.splits[split]
    classes = len(header.classes) if header.multilabel else None
    shards, names, digests, labels, spans = [], list[str](), list[bytes](), [], []
    for number, one in enumerate(facts.shards):
        shard, rows = read_shard(folder / one.file, one, classes)
        shards.append(shard)
        names += rows.names
        digests += rows.digests
        labels.append(rows.labels)
        spans.append(np.insert(rows.spans, 0, number, axis=1))
    found = PackedFiles(
        folder,
        names,
        torch.from_numpy(np.concatenate(labels)),
        header.encoding,
        tuple(shards),
        np.concatenate(spans),
        facts.fingerprint,
        None if facts.folder is None else original_name(facts.folder),
    )
    found.__dict__["contents"] = digests
    return found


def changed_files(folder: Path) -> list[str]:
    """Return a line for each file of a pack whose content is not what was written."""
    found = []
    for split in read_header(folder).splits.values():
        for facts in split.shards:
            if sha256_of(folder / facts.file) != facts.sha256:
                found.append(
                    f"{printable(folder / facts.file)} was changed after it was written; {COPY_AGAIN}"
                )
    return found
