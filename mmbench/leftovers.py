"""Temporary files and folders beside their target, and removal of those that interrupted processes left.

A process that works in one holds a lock on it, which the system releases when the process ends, however it
ends. So an entry with our prefix and without a lock is a leftover.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

OURS = "-mmbench-"  # in every temporary name: ".<target>-mmbench-<random>"
OLD = "old"  # the previous target, while it is being replaced


@contextlib.contextmanager
def scratch_file(target: Path) -> Iterator[Path]:
    """Yield an empty hidden file beside `target`, with the same suffix; it is removed at the end."""
    remove_leftovers(target)
    while True:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target.stem), suffix=target.suffix)
        if _hold(handle, Path(name)):
            break
        os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside `target`, readable for everyone; it is removed at the end.

    An entry called "old" in it is moved back to `target` if nothing is there: at the end or, if this
    process is killed, by the next process that uses the same target.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    while True:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target.name)))
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if _hold(handle, folder):
            break
        os.close(handle)
    try:
        folder.chmod(0o755)  # mkdtemp makes folders private
        yield folder
    finally:
        _remove(folder, target)
        os.close(handle)


@contextlib.contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces the folder `target` when the body succeeds.

    Until then, and if the body raises or the process is killed, `target` stays as it was. If `target` is a
    symbolic link, the folder that it points to is replaced.
    """
    place = target.resolve()
    with scratch_folder(place) as aside:
        new = aside / "new"
        new.mkdir()
        yield new
        with swapping(place):
            if place.exists():
                place.rename(aside / OLD)  # moved back if the next line fails
            new.rename(place)


@contextlib.contextmanager
def swapping(target: Path) -> Iterator[None]:
    """Hold a lock under which `replacing_folder` swaps folders beside `target`.

    Of several processes that replace the same folder, the last one's stays. Where nothing is yet, or the
    file system has no locks, nothing is held.
    """
    handle = None
    with contextlib.suppress(OSError):
        handle = os.open(target.resolve().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target`; what a running process holds stays."""
    files, folders = _prefix(target.stem), _prefix(target.name)
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in list(entries):
            is_file = entry.name.startswith(files) and entry.name.endswith(target.suffix)
            if not is_file and not entry.name.startswith(folders):
                continue
            if entry.is_symlink():
                continue
            with contextlib.suppress(OSError), _locked_leftover(Path(entry.path)):
                _remove(Path(entry.path), target)


def _prefix(name: str) -> str:
    return f".{name.encode()[:150].decode(errors='ignore') if name.isprintable() else name[:40]}{OURS}"


def _hold(handle: int, path: Path) -> bool:
    """Lock a new entry; return False if another process removed it as a leftover in the meantime."""
    with contextlib.suppress(OSError):  # a file system without locks: nothing is ever seen as a leftover
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _locked_leftover(path: Path) -> Iterator[None]:
    """Hold the lock of a leftover while it is removed.

    Raises:
        OSError: a process works in it, or this cannot be determined.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _remove(path: Path, target: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    old = path / OLD
    if old.exists() and not target.exists() and not target.is_symlink():
        with contextlib.suppress(OSError):
            old.rename(target)
    if not old.exists() or target.exists():
        shutil.rmtree(path, ignore_errors=True)
