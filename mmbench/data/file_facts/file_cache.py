"""Facts about the contents of many files, stored in a database so that only changed files are read again.

A fact is stored with the file's size, times and inode (see `fact_database`).
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from mmbench.data.file_facts.fact_database import FactDatabase
from mmbench.file_names import printable
from mmbench.launched import launched_rank
from mmbench.processes import cores

CHUNK = 500  # files between two commits at most; SQLite before 3.32 takes 999 parameters
# A file that changed this shortly before it was read may change again without a new time: FAT counts in
# steps of 2 s. Its facts are returned, but are not stored.
UNSETTLED_SECONDS = 2.0
FIRST_REPORT_SECONDS, REPORT_SECONDS = 5.0, 30.0


@dataclass(frozen=True)
class Reading:
    """How one kind of fact is read from a file.

    Attributes:
        table: where it is stored, a table of `fact_database`.
        read: maps an open file and its size in bytes to facts by table: that of `table`, and others that
            come at no cost. Facts that another version of a library may change are under "" and not stored.
        activity: what the user sees while it lasts, such as "identifying the images".
        chunk: files between two commits, fewer where reading takes long: other processes wait for them.
    """

    table: str
    read: Callable[[FileIO, int], Mapping[str, bytes]]
    activity: str
    chunk: int = CHUNK


@dataclass(frozen=True)
class Status:
    """What a file looked like when its content was read.

    Attributes:
        key: size, times of the last change of content and of the file's entry, and inode.
        changed: the later one of the times, seconds since the epoch.
    """

    key: bytes
    changed: float


@dataclass(frozen=True)
class _Content:
    """What was read from one file.

    Attributes:
        status: None if it cannot be read.
        facts: by table.
        settled: whether the facts hold as long as the status is the same.
    """

    status: Status | None
    facts: Mapping[str, bytes] = field(default_factory=dict)
    settled: bool = False


def facts_of_files(root: Path, paths: Sequence[str], reading: Reading) -> list[bytes | None]:
    """Return one fact per file, None for what is not a readable file.

    Args:
        root: folder that the paths are below.
    """
    found: list[bytes | None] = []
    cache = FactDatabase(root, reading.table)
    with contextlib.closing(cache), ThreadPoolExecutor(min(16, 2 * cores())) as pool:
        reported = time.monotonic() - REPORT_SECONDS + FIRST_REPORT_SECONDS
        step = min(CHUNK, reading.chunk)
        for start in range(0, len(paths), step):
            if time.monotonic() - reported > REPORT_SECONDS:
                reported = time.monotonic()
                _report(root, reading.activity, start, len(paths))
            found += _chunk(root, paths[start : start + step], cache, pool, reading)
    return found


def _report(root: Path, activity: str, done: int, total: int) -> None:
    """Report the progress; of processes that work together only the first does."""
    if launched_rank() == 0:
        line = f"{activity} in {printable(root)} (once): {done} of {total} files"
        print(line, file=sys.stderr, flush=True)


def _chunk(
    root: Path, paths: Sequence[str], cache: FactDatabase, pool: ThreadPoolExecutor, reading: Reading
) -> list[bytes | None]:
    """Return the facts of a few files, and store those that were not known."""
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
            contents = list(pool.map(lambda index: _read(places[index], reading), unknown, chunksize=1))
            for index, content in zip(unknown, contents, strict=True):
                statuses[index] = content.status
                if content.status is not None:
                    fact = content.facts.get(reading.table, content.facts.get("", b""))
                    known[keys[index]] = (content.status.key, fact)
                    if content.settled:
                        cache.keep(keys[index], content.status.key, content.facts)
    return [None if status is None else known[key][1] for key, status in zip(keys, statuses, strict=True)]


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


def _read(place: str, reading: Reading) -> _Content:
    """Return what a file contains."""
    try:
        started = time.time()
        # O_NONBLOCK: a pipe that took a file's place must not make this wait.
        with open(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as stream:  # noqa: PTH123
            before = os.fstat(stream.fileno())
            status = _regular(before)
            if status is None:
                return _Content(None)
            facts = reading.read(stream, before.st_size)
            unchanged = _regular(os.fstat(stream.fileno())) == status
    except (OSError, ValueError):
        return _Content(None)
    return _Content(status, facts, unchanged and status.changed < started - UNSETTLED_SECONDS)
