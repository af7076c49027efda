"""The database of facts about files: one per folder of data.

It is in the folder of the data, or in the user's cache folder if that one cannot be written, or is not to be,
as in a dry run. It is only a cache: if it is missing or damaged, everything is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.data.preparing import nothing_is_written

DATABASE = ".mmbench-hashes.sqlite"
VERSION = 2
# Of version 1, which took damaged PNGs and had the sizes of turned TIFFs exchanged: their facts are removed.
READ_AGAIN = ("images", "label_maps")
# Table -> column of its facts. Paths of "splits" are sides in pixels, as a split is of all files.
TABLES = {
    "files": "sha256",
    "images": "facts",
    "instances": "objects",
    "label_maps": "facts",
    "splits": "pixels",
}
WORTH_KEEPING_SECONDS = 0.1  # data that are read faster are not worth a database
BUSY_SECONDS = 10.0


@dataclass
class FactDatabase:
    """The database of one folder; its errors only cost time."""

    root: Path
    table: str
    _database: sqlite3.Connection | None = None
    _writable: bool = False
    _places: list[Path] = field(default_factory=list)
    _pending: list[tuple[str, tuple[bytes, bytes, bytes, int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started, self._place = time.monotonic(), self.root / DATABASE
        self._places = [self.root / DATABASE, *_user_place(self.root)]
        for place in self._places:
            if place.is_file() and not place.is_symlink() and self._open(place):
                return

    def known(self, keys: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
        """Return path -> (status, fact) of the files that were read before."""
        if self._database is None or not keys:
            return {}
        marks = ",".join("?" * len(keys))
        question = f"SELECT {_columns(self.table)} FROM {self.table} WHERE path IN ({marks})"
        try:
            rows = self._database.execute(question, keys).fetchall()
            return {
                path: (status, fact)
                for path, status, fact, check in rows
                if check == _sum(path, status, fact)
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

    def keep(self, path: bytes, status: bytes, facts: Mapping[str, bytes]) -> None:
        """Remember facts by table; they are written with the others of their chunk."""
        self._pending += [
            (table, (path, status, fact, _sum(path, status, fact)))
            for table, fact in facts.items()
            if table in TABLES
        ]

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
        self._database = None

    def _write(self) -> None:
        if self._database is None:
            return
        try:
            for table in TABLES:
                rows = [row for kind, row in self._pending if kind == table]
                self._database.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", rows)
            if self._database.in_transaction:
                self._database.execute("COMMIT")
            self._pending = []
        except sqlite3.Error as error:
            self._give_up(error)

    def _execute(self, statement: str) -> None:
        if self._database is not None:
            try:
                self._database.execute(statement)
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
                if self._may_write(place) and self._open(place):
                    return

    def _open(self, place: Path) -> bool:
        """Open a database, replace it if it is damaged, and return whether it is open."""
        for _ in range(2):
            try:
                self._connect(place)
                return True
            except sqlite3.OperationalError:  # locked, read-only, or no room: not touched
                self.close()
                return False
            except (sqlite3.Error, OSError):
                self.close()
                self._remove(place)
        return False

    def _connect(self, place: Path) -> None:
        self._place = place
        self._writable = self._may_write(place) and (not place.exists() or os.access(place, os.W_OK))
        address = f"{place.absolute().as_uri()}?mode={'rwc' if self._writable else 'ro'}"
        # Threads of the pool never touch it; transactions are opened and closed by hand.
        database = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        self._database = database
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, 1, VERSION) or (version != VERSION and not self._writable):
            raise sqlite3.DatabaseError("another version")
        if self._writable:
            # Power cuts may damage it, which is noticed; waiting for the disk would cost more than it saves.
            database.execute("PRAGMA synchronous = OFF")
            for table, column in TABLES.items():  # databases of older versions have the first table only
                database.execute(
                    f"CREATE TABLE IF NOT EXISTS {table} (path BLOB PRIMARY KEY, status BLOB, {column} BLOB, "
                    "checksum INTEGER) WITHOUT ROWID"
                )
            if version == 1:
                for table in READ_AGAIN:
                    database.execute(f"DELETE FROM {table}")
            if version != VERSION:
                database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute(f"SELECT {_columns(self.table)} FROM {self.table} LIMIT 1").fetchone()

    def _give_up(self, error: BaseException) -> None:
        """Go on without the database; remove it where it is damaged."""
        self.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            self._remove(self._place)

    def _may_write(self, place: Path) -> bool:
        forbidden = place.parent == self.root and nothing_is_written()
        return not forbidden and os.access(place.parent, os.W_OK)

    def _remove(self, place: Path) -> None:
        if self._may_write(place):
            with contextlib.suppress(OSError):
                _remove(place)


def _columns(table: str) -> str:
    return f"path, status, {TABLES[table]}, checksum"


def _sum(path: bytes, status: bytes, fact: bytes) -> int:
    """Return a checksum of a row: a damaged database must not make up a fact."""
    return zlib.crc32(b"\0".join((path, status, fact)))


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
