"""Temporary files and folders beside their target, and the removal of those that killed processes left.

Whoever works in one holds a lock on it, which the system takes back when the process ends, however it ends.
So what is ours by its name and is not locked is nobody's.
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
OLD = "old"  # what stood in the target's place, while it is exchanged


@contextlib.contextmanager
def scratch_file(target: Path) -> Iterator[Path]:
    """Yield an empty hidden file beside `target`, of the same ending; it is removed at the end."""
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

    An entry called "old" in it is put back in the target's place where that is empty, at the end or, if this
    process is killed, by the next one that works for the same target.
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


def remove_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target`; whatever a living one holds stays."""
    files, folders = _prefix(target.stem), _prefix(target.name)
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in list(entries):
            is_file = entry.name.startswith(files) and entry.name.endswith(target.suffix)
            if not is_file and not entry.name.startswith(folders):
                continue
            if entry.is_symlink():
                continue
            with contextlib.suppress(OSError), _free(Path(entry.path)):
                _remove(Path(entry.path), target)


def _prefix(name: str) -> str:
    return f".{name.encode()[:150].decode(errors='ignore') if name.isprintable() else name[:40]}{OURS}"


def _hold(handle: int, path: Path) -> bool:
    """Lock what was just made; return False if it was taken for a leftover meanwhile."""
    with contextlib.suppress(OSError):  # a file system without locks: then nothing is ever taken for one
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _free(path: Path) -> Iterator[None]:
    """Hold a leftover while it is removed.

    Raises:
        OSError: somebody works in it, or it cannot be known.
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
