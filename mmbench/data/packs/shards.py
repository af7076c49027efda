"""The files of a packed copy: Arrow IPC files with one row per image, read through a memory map.

Columns: `name` (path of the image, as `stored_name` writes it), `label` (class index) or, of a multi-label
data set, `labels` (1, 0 or -1 per class), `sha256` of the image, and `image`, the encoded image.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmbench.data.packs.header import AGAIN, COPY_AGAIN, ShardFacts
from mmbench.errors import UserError
from mmbench.file_names import original_name, printable

Spans = np.ndarray[tuple[int, int], np.dtype[np.int64]]
Labels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def schema(classes: int | None) -> Any:
    """Return the Arrow schema of a shard.

    Args:
        classes: of a multi-label data set; None of one with one label per image.
    """
    import pyarrow as pa  # type: ignore[import-untyped]

    labels = (
        pa.field("label", pa.int64(), nullable=False)
        if classes is None
        else pa.field(
            "labels", pa.list_(pa.field("item", pa.int8(), nullable=False), classes), nullable=False
        )
    )
    return pa.schema(
        [
            pa.field("name", pa.string(), nullable=False),
            labels,
            pa.field("sha256", pa.binary(32), nullable=False),
            pa.field("image", pa.large_binary(), nullable=False),  # last: what opening reads lies together
        ]
    )


class Shard:
    """The bytes of one file, memory-mapped.

    The map outlives a fork, and no file stays open; another process that gets a pickled shard maps the file
    itself.

    Attributes:
        content: all bytes of the file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        with pa.memory_map(os.fsencode(path)) as file:
            start = file.read_buffer(1)  # if all was read, Arrow would ask the system for all
            self.buffer = pa.foreign_buffer(start.address, file.size(), start)
        self.path, self.content = path, memoryview(self.buffer)
        advise(self.buffer.address, self.buffer.size, mmap.MADV_RANDOM)

    def view(self, start: int, stop: int) -> memoryview:
        """Return some bytes, which the system is asked to read at once, and nothing around them."""
        advise(self.buffer.address + start, stop - start, mmap.MADV_WILLNEED)
        return self.content[start:stop]

    def __reduce__(self) -> tuple[type[Shard], tuple[Path]]:
        return Shard, (self.path,)


def advise(address: int, size: int, advice: int) -> None:
    """Tell the system how mapped memory will be read.

    Without advice, a page that is not in memory is read with 128 KiB around it: of images of 75 KiB in random
    order, 278 KiB each were read from the disk, and 78 KiB with it.
    """
    call = _madvise()
    if call is not None and size:
        first = address // mmap.PAGESIZE * mmap.PAGESIZE
        call(first, address + size - first, advice)


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    """Return the function of the C library; Python's `mmap` would keep a file open for each map."""
    try:
        call = ctypes.CDLL(None).madvise
    except (OSError, AttributeError, TypeError):
        return None
    call.argtypes, call.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
    found: Callable[[int, int, int], int] = call
    return found


class Rows(NamedTuple):
    """What a shard says about its N images.

    Attributes:
        names: as in `ImageFiles.paths`.
        digests: SHA-256 of each image.
        labels: int64 (N,), or (N, classes) of a multi-label data set.
        spans: int64 (N, 2), the first byte of each image in the file and the one after its last.
    """

    names: list[str]
    digests: list[bytes]
    labels: Labels
    spans: Spans


def require_files(folder: Path, shards: Sequence[ShardFacts]) -> None:
    """Check that the files of a pack are there and have their sizes.

    Raises:
        UserError: one has not.
    """
    for facts in shards:
        path = folder / facts.file
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise UserError(
                f"{printable(path)} of the packed copy is missing; copy it too, or {AGAIN}"
            ) from None
        if size != facts.bytes:
            raise UserError(f"{printable(path)} has {size} bytes instead of {facts.bytes}; {COPY_AGAIN}")


def read_shard(path: Path, facts: ShardFacts, classes: int | None) -> tuple[Shard, Rows]:
    """Map a shard and return it with what its rows say; no image is read.

    Args:
        classes: see `schema`.

    Raises:
        UserError: the file is damaged, or is not what the header says.
    """
    try:
        shard = Shard(path)
        rows = _rows(shard, classes)
    except (OSError, ValueError, KeyError, NotImplementedError, TypeError) as error:  # as pyarrow raises them
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the file's
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{printable(path)} is damaged ({printable(reason)}); {COPY_AGAIN}") from None
    if len(rows.names) != facts.images:
        raise UserError(
            f"{printable(path)} has {len(rows.names)} images instead of {facts.images}; {COPY_AGAIN}"
        )
    return shard, rows


def _rows(shard: Shard, classes: int | None) -> Rows:
    """Return what a shard's rows say.

    Raises:
        ValueError: it is not such a file, or is damaged.
    """
    import pyarrow as pa

    reader = pa.ipc.open_file(shard.buffer, options=pa.ipc.IpcReadOptions(use_threads=False))
    if not reader.schema.equals(schema(classes)):
        raise ValueError("it has other columns")
    names, digests = list[str](), list[bytes]()
    labels, spans = list[Labels](), list[Spans]()
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        _read_ahead(batch)
        batch.validate(full=True)
        if any(column.null_count for column in batch.columns):
            raise ValueError("values are missing")
        names += map(original_name, batch.column("name").to_pylist())
        digests += batch.column("sha256").to_pylist()
        spans.append(_spans(batch.column("image"), shard))
        labels.append(_labels(batch, classes))
    if not names:
        raise ValueError("it has no images")
    return Rows(names, digests, np.concatenate(labels), np.concatenate(spans))


def _read_ahead(batch: Any) -> None:
    """Ask for all that opening reads of a batch."""
    *others, (_, offsets, _) = (column.buffers() for column in batch.columns)
    for buffer in (*(buffer for buffers in others for buffer in buffers), offsets):
        if buffer is not None:
            advise(buffer.address, buffer.size, mmap.MADV_WILLNEED)


def _labels(batch: Any, classes: int | None) -> Labels:
    if classes is None:
        found: Labels = batch.column("label").to_numpy(zero_copy_only=False)
        return found
    flat = batch.column("labels").flatten().to_numpy(zero_copy_only=False)
    shaped: Labels = flat.astype(np.int64).reshape(len(batch), classes)
    return shaped


def _spans(column: Any, shard: Shard) -> Spans:
    """Return where the values of a binary column lie in the file."""
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[column.offset :][: len(column) + 1]
    start = 0 if data is None else data.address - shard.buffer.address
    found = np.stack([ends[:-1], ends[1:]], axis=1) + start
    if found.min() < 0 or found.max() > shard.buffer.size:
        raise ValueError("images lie outside of the file")
    return found
