"""Files that are written completely or not at all: temporary file, fsync, rename."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import queue
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbench.errors import MachineError, UserError
from mmbench.leftovers import scratch_file

if TYPE_CHECKING:
    from typing_extensions import Buffer

LONGEST_NAME = 100  # bytes of UTF-8: file systems take 255, and more is added to a name
FORBIDDEN = frozenset('/\\<>:"|?*')  # separators, and characters that Windows forbids
# Names of devices on Windows, and the empty name.
RESERVED = frozenset(
    {"", "con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}
)
HASHED_AT_ONCE = 2**22  # bytes; with 1 MiB, reading a checkpoint beside it takes a quarter longer
MADE_SAFE = re.compile(r"~[0-9a-f]{8}$")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`.

    If the body raises, the temporary file is removed and an existing file at `path` stays as it was.
    Temporary files that killed processes left for the same path are removed as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_file(path) as temporary:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files private; ours are for everyone to read
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)


def safe_name(text: str) -> str:
    """Return a user-given name (of an arm, a data set, a metric) as one component of a path.

    Ordinary names are returned unchanged. Others (with separators, control characters or characters that
    Windows forbids; hidden, empty, reserved or very long) become a readable part, "~" and 8 hex digits
    of their SHA-256, so that two names never share a file.

    >>> safe_name("mixmask_resnet18"), safe_name("../../x")
    ('mixmask_resnet18', 'x~9cdf6a50')
    """
    if (
        text.isprintable()  # no control characters, no lone surrogates
        and len(text.encode()) <= LONGEST_NAME
        and not FORBIDDEN.intersection(text)
        and text == text.strip(" ").lstrip(".").rstrip(".")
        and text.partition(".")[0].rstrip().lower() not in RESERVED
        and not MADE_SAFE.search(text)
    ):
        return text
    kept = "".join(letter if letter.isalnum() or letter in "._+=@-" else "-" for letter in text)
    short = kept.strip("-.").encode()[:40].decode(errors="ignore").strip("-.") or "unnamed"
    return f"{short}~{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def open_lock(path: Path) -> io.FileIO:
    """Open a file to be locked, created if it does not exist; a link is never followed.

    Raises:
        UserError: the path is a symbolic link, or cannot be opened.
    """
    try:
        return io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), "r+")
    except OSError as error:
        reason = "it is a symbolic link" if path.is_symlink() else error.strerror or str(error)
        raise UserError(f"{path} cannot be used as a lock ({reason}); remove it and run again") from None


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically, as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes.

    The pieces are large, as a thread that computes this has to wait for Python's lock after each.
    """
    digest, piece = hashlib.sha256(), memoryview(bytearray(min(HASHED_AT_ONCE, path.stat().st_size) or 1))
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(piece):
            digest.update(piece[:count])
    return digest.hexdigest()


class HashedWriter(io.RawIOBase):
    """A binary file for writing, while a thread computes the SHA-256 of the same bytes.

    Use it as a context manager; `digest` is set afterwards.
    """

    WAITING = 64  # pieces in the queue at most, to bound the memory

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self._pieces: queue.Queue[bytes | None] = queue.Queue(self.WAITING)
        self._thread = threading.Thread(target=self._consume, daemon=True)
        self._thread.start()
        self.digest = ""

    def _consume(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hash.update(piece)

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Write a piece, and keep a copy until the thread has read it."""
        piece = bytes(data)
        self._pieces.put(piece)
        return self._file.write(piece)

    def flush(self) -> None:
        """Flush the file."""
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        """Close the file and finish the digest."""
        if not self._file.closed:
            self._file.close()
            self._pieces.put(None)
            self._thread.join()
            self.digest = self._hash.hexdigest()
        super().close()


def require_free_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Check that the disk that holds `folder` has `needed_bytes` free.

    Raises:
        MachineError: it has not.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise MachineError(
            f"not enough disk for {what} in {folder}: {needed_bytes / 2**20:.0f} MiB needed, "
            f"{free / 2**20:.0f} MiB free; free some space or choose another folder"
        )
