"""Writes a packed copy of a data set of image files; the folder appears only when it is complete."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from mmbench.data.dataset import Dataset
from mmbench.data.images.image_places import ImagePlace
from mmbench.data.lists.image_paths import folder_below
from mmbench.data.packs.encoding import FILTER, PackedImage, libraries, pack_images
from mmbench.data.packs.header import (
    Encoding,
    PackHeader,
    ShardFacts,
    Source,
    SplitFacts,
    holds_nothing_else,
    shard_name,
    write_header,
)
from mmbench.data.packs.shards import schema
from mmbench.data.types import SPLITS, ImageFiles, Split
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable, stored_name
from mmbench.files import HashedWriter
from mmbench.leftovers import replacing_folder
from mmbench.processes import in_order

SHARD_BYTES = 2**28  # of images, after which the next file begins
BATCH_BYTES = 2**24  # of images in one record batch
AT_A_TIME = 16  # images that a process is given at once
FEW = 256  # images for which no process is started: that takes longer than they do

Report = Callable[[int, int, str], None]


class UnreadableImagesError(UserError):
    """Images that cannot be read, of which `lines` say why."""

    def __init__(self, message: str, lines: list[str]) -> None:
        super().__init__(message)
        self.lines = lines


def require_place(out: Path, source: Path, force: bool) -> None:
    """Check that a pack may be written to a folder.

    Raises:
        UserError: it holds something else, a pack that is not to be replaced, or the pack that is read.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{printable(out)} is a file; choose a folder for --out")
    if not any(out.iterdir()):
        return
    if not holds_nothing_else(out):
        raise UserError(
            f"{printable(out)} holds files that are no packed copy; choose another folder for --out"
        )
    if out.resolve() == source.resolve():
        raise UserError(f"{printable(out)} is the packed copy that is read; choose another folder for --out")
    if not force:
        raise UserError(f"{printable(out)} is a packed copy already; add --force to replace it")


def write_pack(
    dataset: Dataset,
    out: Path,
    encoding: Encoding,
    *,
    force: bool = False,
    skip_unreadable: bool = False,
    processes: int = 1,
    report: Report | None = None,
) -> PackHeader:
    """Write a packed copy of a data set to the folder `out`, and return its header.

    The same images give the same bytes with any number of processes, as long as the libraries are the same.

    Args:
        encoding: how images are stored.
        force: replace a pack that is there; it stays until the new one is complete.
        skip_unreadable: leave out images that cannot be read.
        processes: how many encode at a time; more than one need an importable main module.
        report: called with (done, total, description).

    Raises:
        UserError: `out` cannot be used (see `require_place`), or the data set is not made of files.
        UnreadableImagesError: images cannot be read, and are not to be left out.
        OSError: the disk is full.
    """
    require_place(out, dataset.root, force)
    if not dataset.files or set(dataset.splits) - set(dataset.files):
        raise UserError(
            f"data set '{dataset.name}' is not read from image files, so there is nothing to pack"
        )
    files = {split: dataset.files[split]() for split in SPLITS if split in dataset.files}
    for split in files:
        dataset.labels(split)  # checked
    total = sum(map(len, files.values()))
    packing = _Packing(dataset, encoding, processes if total > FEW else 1, skip_unreadable)
    with replacing_folder(out) as folder:
        splits: dict[Split, SplitFacts] = {}
        done = 0
        for split, part in files.items():
            facts = packing.split(folder, split, part, _later(report, done, total, f"packing {split}"))
            done += len(part)
            if facts is not None:
                splits[split] = facts
        packing.require_readable(total)
        header = _header(dataset, encoding, splits)
        write_header(folder, header)
    return header


def _later(report: Report | None, done: int, total: int, words: str) -> Callable[[int], None]:
    """Return a report that counts from `done` on."""
    return lambda count: None if report is None else report(done + count, total, words)


class _Packing:
    """Packs the splits of one data set.

    Attributes:
        faults: name of each image that cannot be read -> why.
    """

    def __init__(self, dataset: Dataset, encoding: Encoding, processes: int, skip_unreadable: bool) -> None:
        self.dataset, self.encoding = dataset, encoding
        self.processes, self.skip_unreadable = processes, skip_unreadable
        self.faults: list[tuple[str, str]] = []

    def split(
        self, folder: Path, split: Split, files: ImageFiles, report: Callable[[int], None]
    ) -> SplitFacts | None:
        """Write one split; None if images of it cannot be read, which is then refused in the end."""
        labels, kept = files.labels, list[int]()
        names, sources, reencoded = list(files.paths), list[bytes](), 0
        unreadable: list[str] = []
        with _ShardWriter(
            folder, split, len(self.dataset.classes) if self.dataset.multilabel else None
        ) as writer:
            for index, image in enumerate(self._packed(files)):
                sources.append(image.source)
                if image.fault:
                    unreadable.append(names[index])
                    self.faults.append((names[index], image.fault))
                elif not self.faults or self.skip_unreadable:
                    kept.append(index)
                    reencoded += image.reencoded
                    writer.add(names[index], image, labels[index])
                report(index + 1)
        files.__dict__.setdefault("contents", sources)  # so that the fingerprint needs no second read
        if self.faults and not self.skip_unreadable:
            return None
        if not kept:
            raise UserError(f"none of the {len(files)} images in {printable(files.root)} can be read")
        stored = ImageFiles(folder, [names[index] for index in kept], labels[kept])
        stored.__dict__["contents"] = writer.digests
        below = folder_below(self.dataset, files)
        return SplitFacts(
            images=len(kept),
            reencoded=reencoded,
            unreadable=tuple(map(stored_name, unreadable)),
            fingerprint=self.encoding.identity(stored.fingerprint),
            shards=tuple(writer.shards),
            folder=None if below is None else stored_name(below),
        )

    def _packed(self, files: ImageFiles) -> Iterator[PackedImage]:
        parts: Iterator[list[ImagePlace]] = (
            [files.place(index) for index in range(start, min(start + AT_A_TIME, len(files)))]
            for start in range(0, len(files), AT_A_TIME)
        )
        for found in in_order(functools.partial(pack_images, self.encoding), parts, self.processes):
            yield from found

    def require_readable(self, total: int) -> None:
        """Refuse images that cannot be read, unless they are to be left out."""
        if self.faults and not self.skip_unreadable:
            names = [name for name, _ in self.faults]
            raise UnreadableImagesError(
                f"{len(names)} of {counted(total, 'image')} in {printable(self.dataset.root)} cannot be read "
                f"({listed(names)}); fix or remove them, or leave them out by --skip-unreadable",
                [fault for _, fault in self.faults],
            )


class _ShardWriter:
    """Writes the rows of one split to as many files as it takes.

    Attributes:
        shards: the finished files.
        digests: SHA-256 of each image.
    """

    def __init__(self, folder: Path, split: Split, classes: int | None) -> None:
        self.folder, self.split, self.schema = folder, split, schema(classes)
        self.shards: list[ShardFacts] = []
        self.digests: list[bytes] = []
        self._rows: list[tuple[str, Any, bytes, bytes]] = []
        self._waiting = self._written = self._images = 0
        self._file: HashedWriter | None = None
        self._writer: Any = None

    def __enter__(self) -> _ShardWriter:
        return self

    def add(self, name: str, image: PackedImage, label: Tensor) -> None:
        """Add one row."""
        self._rows.append((stored_name(name), label.tolist(), image.sha256, image.content))
        self.digests.append(image.sha256)
        self._waiting += len(image.content)
        if self._waiting >= BATCH_BYTES:
            self._write_batch()
        if self._written >= SHARD_BYTES:
            self._finish()

    def _write_batch(self) -> None:
        import pyarrow as pa  # type: ignore[import-untyped]

        if self._file is None:
            self._file = HashedWriter(self._path)
            self._writer = pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), self.schema)
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*self._rows, strict=True), self.schema, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=self.schema))
        self._images += len(self._rows)
        self._written += self._waiting
        self._rows, self._waiting = [], 0

    @property
    def _path(self) -> Path:
        return self.folder / shard_name(self.split, len(self.shards))

    def _finish(self) -> None:
        """Close the file, and see to it that it is on the disk."""
        if self._file is None:
            return
        self._writer.close()
        self._file.close()
        path = self._path
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
            size = os.fstat(stream.fileno()).st_size
        self.shards.append(
            ShardFacts(file=path.name, images=self._images, bytes=size, sha256=self._file.digest)
        )
        self._file = self._writer = None
        self._written = self._images = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._rows:
                self._write_batch()
            self._finish()
        elif self._file is not None:
            self._file.close()


def _header(dataset: Dataset, encoding: Encoding, splits: dict[Split, SplitFacts]) -> PackHeader:
    boxes = dataset.annotated or dataset.label_maps or dataset.scenes
    left = ("boxes and masks are not packed",) if boxes is not None else ()
    return PackHeader(
        name=f"{dataset.name}-{encoding.short_side}px",
        classes=dataset.classes,
        image_size=dataset.image_size,
        metric=dataset.metric,
        multilabel=dataset.multilabel,
        encoding=encoding,
        filter=FILTER,
        source=Source(name=dataset.name, fingerprint=dataset.fingerprint, remarks=(*dataset.remarks, *left)),
        splits=splits,
        libraries=libraries(),
    )
