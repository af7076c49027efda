"""SHA-256 of the contents of many files, stored in a database so that only changed files are read again.

A digest is stored with the file's size, times and inode. The database is in the folder of the data, or in the
user's cache folder if that one cannot be written. It is only a cache: if it is missing or damaged, everything
is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.data.file_names import printable
from mmbench.distributed import launched_rank
from mmbench.processes import cores

DATABASE = ".mmbench-hashes.sqlite"
VERSION = 1
CHUNK = 500  # files between two commits; SQLite before 3.32 takes 999 parameters
# A file that changed this shortly before it was read may change again without a new time: FAT counts in
# steps of 2 s. Its digest is returned, but is not stored.
UNSETTLED_SECONDS = 2.0
WORTH_KEEPING_SECONDS = 0.1  # data that are read faster are not worth a database
BUSY_SECONDS = 10.0
FIRST_REPORT_SECONDS, REPORT_SECONDS = 5.0, 30.0
WHOLE_READ_BYTES = 2**24  # larger files are read in pieces
UNREADABLE = b""


@dataclass(frozen=True)
class Status:
    """What a file looked like when its content was read.

    Attributes:
        key: size, times of the last change of content and of the file's entry, and inode.
        changed: the later one of the times, seconds since the epoch.
    """

    key: bytes
    changed: float


def content_digests(root: Path, paths: Sequence[str]) -> list[bytes]:
    """Return the SHA-256 (32 bytes) of each file's content, `UNREADABLE` where it cannot be read.

    Args:
        root: folder that the paths are below.
    """
    found: list[bytes] = []
    cache = _Cache(root)
    with contextlib.closing(cache), ThreadPoolExecutor(min(16, 2 * cores())) as pool:
        reported = time.monotonic() - REPORT_SECONDS + FIRST_REPORT_SECONDS
        for start in range(0, len(paths), CHUNK):
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                _report(root, start, len(paths))
            found += _chunk(root, paths[start : start + CHUNK], cache, pool)
    return found


def _report(root: Path, done: int, total: int) -> None:
    """Report the progress; of processes that work together only the first does."""
    if launched_rank() == 0:
        words = (
            f"identifying the images in {printable(root)} by their content (once): {done} of {total} files"
        )
        print(words, file=sys.stderr, flush=True)


def _chunk(root: Path, paths: Sequence[str], cache: _Cache, pool: ThreadPoolExecutor) -> list[bytes]:
    """Return the digests of a few files, and keep those that were not known."""
    places = [os.path.join(root, path) for path in paths]  # noqa: PTH118  Path would cost more than the rest
    statuses = [_status(place) for place in places]
    keys = [os.fsencode(path) for path in paths]
    known = cache.known(keys)

    def missing() -> list[int]:
        return [
            index
            for index, status in enumerate(statuses)
            if status is not None and known.get(keys[index], (b"", b""))[0] != status.key
        ]

    if unknown := missing():
        with cache.writing():  # of several processes one reads, and the others find what it kept
            known |= cache.known([keys[index] for index in unknown])
            unknown = missing()
            read = list(pool.map(_read, [places[index] for index in unknown], chunksize=1))
            for index, (status, digest, settled) in zip(unknown, read, strict=True):
                statuses[index] = status
                known[keys[index]] = (b"" if status is None else status.key, digest)
                if status is not None and settled:
                    cache.keep(keys[index], status.key, digest)
    return [
        UNREADABLE if status is None else known[key][1] for key, status in zip(keys, statuses, strict=True)
    ]


def _status(place: str) -> Status | None:
    """Return the status of a regular file, None of anything else."""
    try:
        return _regular(os.stat(place))  # noqa: PTH116
    except (OSError, ValueError):
        return None


def _regular(found: os.stat_result) -> Status | None:
    if not stat.S_ISREG(found.st_mode):
        return None
    key = f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}".encode()
    return Status(key, max(found.st_mtime, found.st_ctime))


def _read(place: str) -> tuple[Status | None, bytes, bool]:
    """Return a file's status, digest, and whether both will stay true as long as the status is the same."""
    try:
        started = time.time()
        # O_NONBLOCK: a pipe that took a file's place must not make this wait.
        with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as stream:  # noqa: PTH123
            before = os.fstat(stream.fileno())
            status = _regular(before)
            if status is None:
                return None, UNREADABLE, False
            if before.st_size <= WHOLE_READ_BYTES:
                digest = hashlib.sha256(stream.readall()).digest()
            else:
                digest = hashlib.file_digest(stream, "sha256").digest()
            unchanged = _regular(os.fstat(stream.fileno())) == status
    except (OSError, ValueError):
        return None, UNREADABLE, False
    return status, digest, unchanged and status.changed < started - UNSETTLED_SECONDS


@dataclass
class _Cache:
    """The database of one folder; its errors only cost time."""

    root: Path
    _database: sqlite3.Connection | None = None
    _writable: bool = False
    _places: list[Path] = field(default_factory=list)
    _pending: list[tuple[bytes, bytes, bytes, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started, self._place = time.monotonic(), self.root / DATABASE
        self._places = [self.root / DATABASE, *_user_place(self.root)]
        for place in self._places:
            if place.is_file() and not place.is_symlink() and self._open(place):
                return

    def known(self, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
        """Return path -> (status, digest) of the files that were read before."""
        if self._database is None or not keys:
            return {}
        marks = ",".join("?" * len(keys))
        question = f"SELECT path, status, sha256, checksum FROM files WHERE path IN ({marks})"
        try:
            rows = self._database.execute(question, keys).fetchall()
            return {
                path: (status, digest)
                for path, status, digest, check in rows
                if check == _sum(path, status, digest)
            }
        except (sqlite3.Error, TypeError) as error:
            self._give_up(error)
            return {}

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the database while files are read, and write what was kept."""
        if self._database is None and time.monotonic() - self._started > WORTH_KEEPING_SECONDS:
            self._create()
        if self._database is not None and self._writable:
            self._execute("BEGIN IMMEDIATE")
        yield
        if self._database is not None and self._writable:
            self._write()

    def keep(self, path: bytes, status: bytes, digest: bytes) -> None:
        """Remember a digest; it is written with the others of its chunk."""
        self._pending.append((path, status, digest, _sum(path, status, digest)))

    def close(self) -> None:
        """Leave the database."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
        self._database = None

    def _write(self) -> None:
        if self._database is None:
            return
        try:
            self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", self._pending)
            if self._database.in_transaction:
                self._database.execute("COMMIT")
            self._pending = []
        except sqlite3.Error as error:
            self._give_up(error)

    def _execute(self, words: str) -> None:
        if self._database is not None:
            try:
                self._database.execute(words)
            except sqlite3.Error as error:
                self._give_up(error)

    def _create(self) -> None:
        """Make a database at the first place that can be written."""
        while self._places:
            place = self._places.pop(0)
            if place.is_symlink():
                continue  # never written through
            with contextlib.suppress(OSError):
                if place.parent != self.root:
                    place.parent.mkdir(parents=True, exist_ok=True)
                if os.access(place.parent, os.W_OK) and self._open(place):
                    return

    def _open(self, place: Path) -> bool:
        """Open a database, make it anew where it is damaged, and return whether that worked."""
        for _ in range(2):
            try:
                self._connect(place)
                return True
            except sqlite3.OperationalError:  # locked, read-only, or no room: left alone
                self.close()
                return False
            except (sqlite3.Error, OSError):
                self.close()
                with contextlib.suppress(OSError):
                    _remove(place)
        return False

    def _connect(self, place: Path) -> None:
        self._place = place
        self._writable = os.access(place.parent, os.W_OK) and (
            not place.exists() or os.access(place, os.W_OK)
        )
        address = f"{place.absolute().as_uri()}?mode={'rwc' if self._writable else 'ro'}"
        # Threads of the pool never touch it; transactions are opened and closed by hand.
        database = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        self._database = database
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if self._writable:
            # Power cuts may damage it, which is noticed; waiting for the disk would cost more than it saves.
            database.execute("PRAGMA synchronous = OFF")
            if version == 0:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, status BLOB, sha256 BLOB, "
                    "checksum INTEGER) WITHOUT ROWID"
                )
                database.execute(f"PRAGMA user_version = {VERSION}")
                version = VERSION
        if version != VERSION:
            raise sqlite3.DatabaseError("another version")
        database.execute("SELECT path, status, sha256, checksum FROM files LIMIT 1").fetchone()

    def _give_up(self, error: BaseException) -> None:
        """Go on without the database; remove it where it is damaged."""
        self.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            with contextlib.suppress(OSError):
                _remove(self._place)


def _sum(path: bytes, status: bytes, digest: bytes) -> int:
    """Return a checksum of a row: a damaged database must not make up an identity."""
    return zlib.crc32(b"\0".join((path, status, digest)))


def _remove(place: Path) -> None:
    for name in (place, place.with_name(place.name + "-journal")):
        name.unlink(missing_ok=True)


def _user_place(root: Path) -> list[Path]:
    """Return where a database is kept for data in a folder that cannot be written."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmbench" / "hashes"
        name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    except (OSError, RuntimeError):  # no home
        return []
    return [folder / f"{name}.sqlite"]
