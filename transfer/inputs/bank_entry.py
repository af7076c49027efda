"""One entry of the feature bank: a .npy file, and a sidecar that states its content, block by block.

The sidecar (.json) holds dtype, order, shape and the CRC-32 of every 4 MiB of the file, its header included,
and a SHA-256 of itself. While an entry is written, the file is called .part and the sidecar says how much of
it is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.errors import UserError
from mmbench.files import open_lock, write_json
from mmbench.processes import cores

# CRC-32 runs at 3 GB/s on one core, five times as fast as BLAKE2b, and misses random damage of a block
# once in 2^32 times; it finds every change of up to 32 neighbouring bits.
BLOCK = 4 * 2**20
FORMAT = 1  # of the sidecar


class DamagedEntryError(Exception):
    """An entry differs from what was written; the message says why."""


@dataclass(frozen=True)
class EntryFacts:
    """What an entry must contain.

    Attributes:
        path: of the finished .npy file; its stem is the address.
        shape: (N, C).
        dtype: "float32" or "float16".
    """

    path: Path
    shape: tuple[int, int]
    dtype: str

    @property
    def part(self) -> Path:
        """The file while it is written."""
        return self.path.with_suffix(".part")

    @property
    def row_bytes(self) -> int:
        """Bytes of one image's features."""
        return self.shape[1] * np.dtype(self.dtype).itemsize

    def header(self) -> bytes:
        """Return the .npy header, C order."""
        stream = io.BytesIO()
        descr = np.dtype(self.dtype).str
        facts = {"descr": descr, "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(stream, facts)
        return stream.getvalue()

    def bytes_of(self, rows: int) -> int:
        """Return how long the file is with `rows` images in it."""
        return len(self.header()) + rows * self.row_bytes


def sidecar_of(path: Path) -> Path:
    """Return the sidecar of an entry."""
    return path.with_suffix(".json")


def read_entry(path: Path, count: int, dtype: str, *, verify: bool) -> Tensor | None:
    """Return an entry (count, C) as a private memory map, None where there is none.

    Args:
        verify: compare every block; without it only the sidecar is checked, and the length.

    Raises:
        DamagedEntryError: it differs from what was written, or its sidecar is missing.
    """
    if not path.is_file():
        return None
    facts, done, digests = _read_sidecar(path, count, dtype)
    if done != count:
        raise DamagedEntryError("its list of digests is of an unfinished one")
    length = facts.bytes_of(count)
    try:
        if path.stat().st_size != length:
            raise DamagedEntryError(f"it has {path.stat().st_size} bytes instead of {length}")
        if verify:
            _verify(path, length, digests)
        # Private (mode "c"): what a probe does to its features never reaches the file.
        entry = np.memmap(path, facts.dtype, "c", len(facts.header()), facts.shape)
    except (OSError, ValueError) as error:
        raise DamagedEntryError(str(error).partition("\n")[0]) from None
    return torch.from_numpy(entry)


def _read_sidecar(path: Path, count: int, dtype: str) -> tuple[EntryFacts, int, list[int]]:
    """Return what an entry must contain, the images in it, and the CRC-32 of each block.

    Raises:
        DamagedEntryError: there is no sidecar, or it is damaged or of another entry.
    """
    sidecar = sidecar_of(path)
    try:
        found: dict[str, Any] = json.loads(sidecar.read_bytes())
        digest = found.pop("sha256")
    except FileNotFoundError:
        raise DamagedEntryError("it has no digests, as those of older versions") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DamagedEntryError("its list of digests is damaged or of an older version") from None
    if digest != _sha256(found) or found.get("format") != FORMAT:
        raise DamagedEntryError("its list of digests is damaged or of an older version")
    facts = EntryFacts(path, (found["shape"][0], found["shape"][1]), found["dtype"])
    if (facts.shape[0], facts.dtype, found["order"], found["address"]) != (count, dtype, "C", path.stem):
        raise DamagedEntryError("its list of digests is of another entry")
    return facts, found["done"], found["crc32"]


def _sha256(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _verify(path: Path, length: int, digests: list[int]) -> None:
    """Compare the first `length` bytes of a file with the CRC-32 of each of their blocks.

    Raises:
        DamagedEntryError: a block differs.
    """
    starts = range(0, length, BLOCK)
    if len(starts) != len(digests):
        raise DamagedEntryError("its list of digests is too short or too long")
    descriptor = os.open(path, os.O_RDONLY)

    def sound(lane: range) -> bool:
        held = memoryview(bytearray(BLOCK))  # one per thread: fresh pages for each block would cost more
        for index in lane:
            block = held[: min(BLOCK, length - starts[index])]
            if os.preadv(descriptor, [block], starts[index]) != len(block):
                return False
            if zlib.crc32(block) != digests[index]:
                return False
        return True

    try:
        threads = max(1, min(cores(), 8, len(starts)))
        with ThreadPoolExecutor(threads) as pool:
            lanes = [range(first, len(starts), threads) for first in range(threads)]
            if not all(pool.map(sound, lanes)):
                raise DamagedEntryError("its bytes are not those that were written")
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path, own: Path) -> None:
    """Remove leftovers of other entries that no run can continue: parts without a sidecar.

    Args:
        own: the entry that the caller holds.
    """
    for part in folder.glob("*.part"):
        if part.stem == own.stem or sidecar_of(part).exists():
            continue
        with contextlib.suppress(OSError, UserError), open_lock(part.with_suffix(".lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a run in progress locks its entry
            part.unlink(missing_ok=True)


@dataclass
class EntryWriter:
    """Writes an entry from front to back, such that an interrupted run can continue.

    Attributes:
        facts: what the entry will be.
        done: images written.
        fault: why an existing unfinished entry could not be continued, None where it could.
    """

    facts: EntryFacts
    done: int = 0
    fault: str | None = None
    _digests: list[int] = field(default_factory=list)  # the last one is of an unfinished block

    def __post_init__(self) -> None:
        part = self.facts.part
        try:
            self._resume()
        except DamagedEntryError as damage:
            if part.exists():
                self.fault = f"is damaged or outdated ({damage})"
            self.done, self._digests = 0, []

    def _resume(self) -> None:
        """Take over the images of an unfinished entry.

        Raises:
            DamagedEntryError: there is none that can be continued.
        """
        facts = self.facts
        if not facts.part.is_file() or facts.part.is_symlink():
            raise DamagedEntryError("it is not a regular file")
        found, done, digests = _read_sidecar(facts.path, facts.shape[0], facts.dtype)
        length = facts.bytes_of(done)
        if found.shape != facts.shape or not 0 <= done <= facts.shape[0]:
            raise DamagedEntryError("its list of digests is of another entry")
        try:
            _verify(facts.part, length, digests)
        except OSError as error:
            raise DamagedEntryError(str(error)) from None
        self.done, self._digests = done, digests

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the file open for `append`; call `finish` afterwards."""
        facts = self.facts
        if self.done:
            descriptor = os.open(facts.part, os.O_RDWR | os.O_NOFOLLOW)
        else:  # never through a link, and never into a file that another process reads
            facts.part.unlink(missing_ok=True)
            descriptor = os.open(facts.part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "rb+") as self._stream:
            self._length = facts.bytes_of(self.done) if self.done else 0
            self._stream.truncate(self._length)
            self._stream.seek(self._length)
            if not self.done:
                self._write(facts.header())
            yield

    def append(self, rows: np.ndarray[Any, Any]) -> None:
        """Write the features of the next images, (n, C) of the entry's dtype."""
        self._write(np.ascontiguousarray(rows).view(np.uint8).reshape(-1).data)
        self.done += len(rows)

    def _write(self, data: bytes | memoryview) -> None:
        """Write bytes, and count them into the digests of their blocks."""
        view = memoryview(data)
        self._stream.write(view)
        while view:
            inside = self._length % BLOCK
            piece = view[: BLOCK - inside]
            if inside == 0:
                self._digests.append(0)
            self._digests[-1] = zlib.crc32(piece, self._digests[-1])
            self._length += len(piece)
            view = view[len(piece) :]

    def save(self) -> None:
        """Flush to the disk what was written, and record that in the sidecar."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        facts = {
            "format": FORMAT,
            "address": self.facts.path.stem,
            "dtype": self.facts.dtype,
            "order": "C",
            "shape": list(self.facts.shape),
            "done": self.done,
            "block": BLOCK,
            "crc32": self._digests,
        }
        write_json(sidecar_of(self.facts.path), {**facts, "sha256": _sha256(facts)})

    def finish(self) -> None:
        """Give the entry its name."""
        self.facts.part.replace(self.facts.path)
