"""A lock per cell: two processes never work on the same cell, and the lock of a process that is gone is free.

`filelock.SoftFileLease` does the work: the lock file names its owner (host, process, when that began), who
touches it every few seconds. A process of the same host that is gone is noticed at once, one of another host
when its file has not been touched for a minute of the observer's own clock.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.errors import UserError

if TYPE_CHECKING:
    from filelock import SoftFileLease

LEASE_SECONDS, BEAT_SECONDS = 60.0, 5.0


class CellLock:
    """The lock of one cell, as one process sees it; keep it while you wait, so that it knows since when.

    Args:
        path: of the lock file.
        lost: called from another thread if the lock is taken away while it is held, as it is from a process
            that was halted for longer than the lease.
    """

    def __init__(self, path: Path, lost: Callable[[], None] | None = None) -> None:
        self._path = path
        self._lost = lost
        self._lease: SoftFileLease | None = None
        self._empty: tuple[tuple[int, int], float] | None = None

    def take(self) -> bool:
        """Take the lock if it is free or its owner is gone; return whether it is held now.

        Raises:
            OSError: the file cannot be written, as on a full disk.
            UserError: another version of mmbench holds it.
        """
        from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._remove_if_empty()
        if self._lease is None:
            self._lease = SoftFileLease(
                self._path,
                lease_duration=LEASE_SECONDS,
                heartbeat_interval=BEAT_SECONDS,
                on_compromise=None if self._lost is None else lambda _: self._lost and self._lost(),
                thread_local=False,
            )
        try:
            self._lease.acquire(timeout=0)
        except Timeout:
            return False
        except LeaseSettingsMismatch:
            raise UserError(
                f"{self._path} is held by another version of mmbench; wait for it, or stop it"
            ) from None
        return True

    @property
    def held(self) -> bool:
        """Whether this process holds the lock, and has never lost it."""
        return self._lease is not None and self._lease.is_locked and self._lease.compromise is None

    def free(self) -> None:
        """Give the lock back."""
        if self._lease is not None:
            with contextlib.suppress(OSError):
                self._lease.release()

    def _remove_if_empty(self) -> None:
        """Remove a lock file without an owner, which a power cut leaves, when it was so for a whole lease."""
        try:
            status = self._path.lstat()
        except OSError:
            return
        if status.st_size:
            self._empty = None
            return
        seen = (status.st_ino, status.st_mtime_ns)
        if self._empty is None or self._empty[0] != seen:
            self._empty = (seen, time.monotonic())
        elif time.monotonic() - self._empty[1] > LEASE_SECONDS:
            self._path.unlink(missing_ok=True)
