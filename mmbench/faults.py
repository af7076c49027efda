"""One-line messages for faults of the machine and of paths: a full disk, a read-only folder, no memory.

Errors that are not recognised here are bugs of mmbench and keep their traceback. Errors of libraries are
recognised by class name and message, so that no library is imported.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass

from mmbench.errors import one_line

BAD_INPUT, MACHINE = 2, 1  # exit codes
AGAIN = "run the same command again to continue"
# Errors about a given path: another path fixes them.
_PLACE = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "it is on a read-only file system",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a part of it is a file, not a folder",
    errno.EISDIR: "it is a folder, not a file",
    errno.EEXIST: "it exists already",
    errno.ENOTEMPTY: "the folder is not empty",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its symbolic links form a loop",
    errno.EINVAL: "the file system does not accept it",
    errno.ENODEV: "it cannot be used as a file",
    errno.ENXIO: "it cannot be used as a file",
    errno.ETXTBSY: "it is in use",
    errno.EXDEV: "it is on another file system",
}
_MACHINE = {
    errno.ENOSPC: "no space is left on the disk; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EIO: "the disk reports an input/output error; check it",
    errno.EMFILE: "too many files are open; raise the limit with `ulimit -n 65536`",
    errno.ENFILE: "too many files are open on this machine; close some programs",
    errno.ENOMEM: "there is not enough memory; use a smaller batch or fewer workers",
    errno.EAGAIN: "no more processes or threads can be started; use fewer --threads or workers",
    errno.EFBIG: "the file is larger than the file system or `ulimit -f` allows; raise the limit",
    errno.ESTALE: "the network file system lost the file; check that it is mounted",
}
_OS_ERROR = re.compile(r"os error (\d+)")
_OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|out of memory|Cannot allocate memory", re.I
)
_WRITING = re.compile(
    r"PytorchStreamWriter failed|unexpected pos \d+|basic_ios::clear|iostream (stream )?error|fwrite|"
    r"Parent directory .* does not exist",
    re.I,
)
_SHARED_MEMORY = re.compile(
    r"shared memory|/dev/shm|/torch_\d+|Bus error|bus error|unable to (open|mmap|resize|allocate)", re.I
)
_WORKER = re.compile(
    r"DataLoader worker|DataLoader timed out|process pool was terminated|process in the pool", re.I
)
# Of torch's processes that work together: gloo's connections, the store where they meet, and NCCL.
_CONNECTION = re.compile(r"/gloo/transport/|Connection closed by peer|Connection reset by peer")
_NCCL_CONNECTION = re.compile(r"ncclRemoteError|ncclSystemError|remote process|[Cc]onnection|[Tt]imed? ?out")
# Also of the sockets through which torch's workers pass descriptors.
_OPEN_FILES = re.compile(r"Too many open files|received \d+ items of ancdata")
_THREADS = re.compile(r"can't start new thread|Thread creation failed|pthread_create", re.I)


@dataclass(frozen=True)
class Fault:
    """A message of one line, and the exit code."""

    words: str
    exit_code: int


def fault_of(error: BaseException) -> Fault | None:
    """Return the fault behind an error; None if it is not a fault of the machine or of a path."""
    if isinstance(error, OSError):
        return _of_os_error(error)
    if isinstance(error, MemoryError):
        return Fault(f"{_MACHINE[errno.ENOMEM]}, and {AGAIN}", MACHINE)
    if isinstance(error, UnicodeError):
        return _of_unicode(error)
    if isinstance(error, ValueError):
        if "null byte" in str(error) or "null character" in str(error):
            return Fault(
                "a path or name holds a null byte, which no file name can; check what was typed", BAD_INPUT
            )
        return None
    if type(error).__name__ == "OutOfMemoryError":
        return Fault(f"the GPU's memory is full; use a smaller batch or image size, and {AGAIN}", MACHINE)
    if type(error).__name__ == "SafetensorError":
        found = _OS_ERROR.search(str(error))
        return None if found is None else _of_number(int(found[1]), None)
    if isinstance(error, RuntimeError):
        return _of_runtime_error(error)
    return None


def _of_os_error(error: OSError) -> Fault:
    number = error.errno
    if number is None:
        reason = one_line(_last_line(error), 300)
        if _WORKER.search(str(error)) and "Caught" in str(error):
            return Fault(f"a process that reads data failed: {reason}", MACHINE)
        return Fault(reason or "the system reports an error", MACHINE)
    return _of_number(number, error.filename2 or error.filename)


def _of_number(number: int, name: object) -> Fault:
    """Return the fault of an error number of the system, and of the file that it is about."""
    about = "" if name is None or isinstance(name, int) else f"{one_line(os.fsdecode(name), 300)}: "  # type: ignore[arg-type]
    if number in _PLACE:
        advice = "check the path" if about else "check the paths of the command"
        return Fault(f"{about}{_PLACE[number]}; {advice}", BAD_INPUT)
    reason = _MACHINE.get(number, f"{os.strerror(number)}; check the machine")
    return Fault(f"{about}{reason}, and {AGAIN}", MACHINE)


def _of_unicode(error: UnicodeError) -> Fault | None:
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return Fault(
            "a path or name holds characters that cannot be encoded; check what was typed", BAD_INPUT
        )
    return None


def _of_runtime_error(error: RuntimeError) -> Fault | None:
    text = str(error)
    if _is_lost_connection(type(error).__name__, text):
        reason = re.sub(r"^\[[^\]]*\] *", "", _first_line(error)).partition(". ")[0]
        return Fault(
            f"another process of this run was lost or ended ({reason}); what it printed may say why, often "
            f"memory ran out; {AGAIN}",
            MACHINE,
        )
    if _OPEN_FILES.search(text):
        return Fault(f"{_MACHINE[errno.EMFILE]}, and {AGAIN}", MACHINE)
    if _WORKER.search(text) or (_SHARED_MEMORY.search(text) and "torch" in text):
        # The signal may be named in the cause only.
        return Fault(_lost_worker(f"{text} {error.__cause__ or error.__context__ or ''}"), MACHINE)
    if _OUT_OF_MEMORY.search(text):
        return Fault(f"{_MACHINE[errno.ENOMEM]}, and {AGAIN}", MACHINE)
    if _WRITING.search(text):
        below = _system_error_below(error)
        if below is not None:
            return _of_os_error(below)
        return Fault(
            f"a file could not be written ({_first_line(error)}); free some space, and {AGAIN}", MACHINE
        )
    if _THREADS.search(text):
        return Fault(f"{_MACHINE[errno.EAGAIN]}, and {AGAIN}", MACHINE)
    return None


def _system_error_below(error: BaseException) -> OSError | None:
    """Return the error of the system behind one of torch's writer, which ends a file that cannot be ended."""
    below = error.__cause__ or error.__context__
    while below is not None and not (isinstance(below, OSError) and below.errno is not None):
        below = below.__cause__ or below.__context__
    return below


def _is_lost_connection(kind: str, text: str) -> bool:
    """Return whether torch reports that a process which works together with this one is gone."""
    if kind == "DistBackendError":
        return _NCCL_CONNECTION.search(text) is not None
    return kind in ("DistNetworkError", "DistStoreError") or _CONNECTION.search(text) is not None


def _lost_worker(text: str) -> str:
    if "timed out" in text:
        return (
            "the processes that read data returned nothing for too long; check the disk, use fewer workers "
            f"(--workers 0, or --set workers=0), and {AGAIN}"
        )
    if _SHARED_MEMORY.search(text):
        return (
            "a process that reads data ran out of shared memory (/dev/shm); use fewer workers (--workers 0, "
            f"or --set workers=0), or enlarge it (docker run --shm-size=8g), and {AGAIN}"
        )
    return (
        "a process that reads data was lost, often because memory ran out; use fewer workers (--workers 0, "
        f"or --set workers=0), and {AGAIN}"
    )


def _first_line(error: BaseException) -> str:
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0], 160)


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
