"""Faults of the machine and impossible places: one line, the right exit code, and nothing left behind."""

from __future__ import annotations

import errno
import io
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import SafetensorError

from mmbench.cli import commands as cli
from mmbench.errors import UserError, one_line
from mmbench.faults import fault_of
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from typing_extensions import Buffer


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and what was said on stderr; a traceback would fail the test by itself."""
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    return int(stop.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_of_the_system_is_a_fault(number: int) -> None:
    """BlockingIOError, BrokenPipeError and all the others are kinds of OSError."""
    fault = fault_of(OSError(number, os.strerror(number), "place/of\nthe file"))
    assert fault is not None and fault.exit_code in (1, 2)
    assert fault.words.isprintable() and "place/of" in fault.words


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "free some space"),
        (OSError(errno.EDQUOT, "quota", "x"), 1, "quota"),
        (OSError(errno.EIO, "Input/output error", "x"), 1, "input/output"),
        (OSError(errno.EMFILE, "Too many open files"), 1, "ulimit -n"),
        (OSError(errno.EROFS, "Read-only file system", "runs"), 2, "runs: it is on a read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", b"runs"), 2, "runs: permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 5000), 2, "too long"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links", "x"), 2, "loop"),
        (FileExistsError(errno.EEXIST, "File exists", "x"), 2, "exists"),
        (OSError("a library's own words\nover two lines"), 1, "over two lines"),
        (MemoryError(), 1, "memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "smaller batch"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory"),
            1,
            "memory",
        ),
        (RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 704 vs 598"), 1, "space"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), 1, "space"),
        (RuntimeError("basic_ios::clear: iostream error"), 1, "space"),
        (RuntimeError("can't start new thread"), 1, "threads"),
        (
            RuntimeError("Too many open files. Communication with the workers is no longer possible. ..."),
            1,
            "ulimit -n",
        ),
        (RuntimeError("unable to open file </torch_7_1_0>: Too many open files (24)"), 1, "ulimit -n"),
        (RuntimeError("received 0 items of ancdata"), 1, "ulimit -n"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible ..."),
            1,
            "/dev/shm",
        ),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), 1, "workers=0"),
        (RuntimeError("DataLoader timed out after 600 seconds"), 1, "too long"),
        (RuntimeError("unable to write to file </torch_7_1_0>: No space left on device (28)"), 1, "/dev/shm"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            1,
            "space",
        ),
        (
            RuntimeError(
                "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error [127.0.0.1]:32981: "
                "Connection reset by peer. This is typically caused by a remote worker hanging.\n"
            ),
            1,
            "another process of this run was lost or ended (Read error [127.0.0.1]:32981: Connection reset",
        ),
        (
            RuntimeError(
                "[../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 9ms"
            ),
            1,
            "(Timed out waiting 9ms)",
        ),
        (torch.distributed.DistNetworkError("failed to recv, got 0 bytes"), 1, "another process"),
        (torch.distributed.DistBackendError("NCCL error: remote process exited"), 1, "another process"),
        (ValueError("embedded null byte"), 2, "null byte"),
        (ValueError("open: embedded null character in path"), 2, "null byte"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), 2, "cannot be encoded"),
    ],
)
def test_a_fault_in_any_command_is_one_line(
    error: Exception,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.root, "main", fails)
    found, said = run(["doctor"], capsys)
    assert found == code
    assert said.startswith("mmbench: error: ") and said.count("\n") == 1 and words in said
    assert len(said) < 600


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "no space is left on the disk"), (errno.EFBIG, "ulimit -f")]
)
def test_what_stops_the_writer_of_torch_is_said(number: int, words: str) -> None:
    """And not what its writer says of it, "unexpected pos 704 vs 598"."""

    class Filling(io.BytesIO):
        def write(self, data: Buffer, /) -> int:
            if self.tell() + memoryview(data).nbytes > 1024:
                raise OSError(number, os.strerror(number))
            return super().write(data)

    with pytest.raises(RuntimeError, match="unexpected pos") as found:
        torch.save({"a": torch.zeros(9999)}, Filling())
    fault = fault_of(found.value)
    assert fault is not None and fault.exit_code == 1 and words in fault.words


def test_of_several_processes_the_others_say_which_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And are silent about an error that the first one tells."""
    error = UserError("no such data")

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli.root, "main", fails)
    monkeypatch.setenv("RANK", "1")
    for processes, expected in (
        ("1", "mmbench: error: no such data\n"),
        ("2", "mmbench (process 1): error: no such data\n"),
        ("word", "mmbench: error: no such data\n"),
    ):
        monkeypatch.setenv("WORLD_SIZE", processes)
        assert run(["doctor"], capsys) == (2, expected)
    error.told_elsewhere = True
    assert run(["doctor"], capsys) == (2, "")


@pytest.mark.parametrize(
    "error",
    [
        *(
            ValueError("x"),
            KeyError("x"),
            TypeError("x"),
            RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
            torch.distributed.DistBackendError("ncclInvalidUsage: Duplicate GPU detected"),
        ),
        *(
            AssertionError(),
            IndexError(),
            AttributeError(),
            ZeroDivisionError(),
            UnicodeDecodeError("utf-8", b"", 0, 1, ""),
        ),
    ],
)
def test_our_own_bugs_are_no_faults(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    assert fault_of(error) is None
    monkeypatch.setattr(cli.root, "main", fails)
    with pytest.raises(type(error)):
        cli.main(["doctor"])


def test_a_bug_while_a_fault_is_handled_stays_a_bug() -> None:
    try:
        raise RuntimeError("can't allocate memory")
    except RuntimeError:
        try:
            raise RuntimeError("a bug")
        except RuntimeError as error:
            assert fault_of(error) is None


def test_a_fault_shows_its_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMBENCH_TRACEBACK", "1")
    monkeypatch.setattr(cli.root, "main", lambda **_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        cli.main(["doctor"])


def test_a_reader_that_leaves_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        cli.root, "main", lambda **_: (_ for _ in ()).throw(BrokenPipeError(32, "Broken pipe"))
    )
    assert run(["doctor"], capsys) == (1, "")


def test_a_message_is_one_line_whatever_it_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        cli.root, "main", lambda **_: (_ for _ in ()).throw(UserError("a\nb\x1b[31m\ud800" + "x" * 9000))
    )
    code, said = run(["doctor"], capsys)
    assert code == 2 and said.count("\n") == 1 and "\x1b" not in said and len(said) < 2100
    assert one_line("plain é") == "plain é"


def test_a_wrong_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(["pretrain", "--method", "moco"], capsys)
    assert code == 2 and said == "mmbench: error: Missing option '--out'. (see mmbench pretrain --help)\n"
    code, said = run(["transfer", "--seed", "9" * 5000], capsys)
    assert code == 2 and said.count("\n") == 1 and len(said) < 2100


# Every command that writes. The weights and records need not exist: the place is checked first.
WRITING = [
    ["pretrain", "--method", "mixmask", "--out", "PLACE"],
    [
        "transfer",
        "--task",
        "knn",
        "--checkpoint",
        "random",
        "--arch",
        "resnet18",
        "--data",
        "x",
        "--out",
        "PLACE",
    ],
    ["transfer", "--task", "knn", "--checkpoint", "random", "--data", "x", "--bank", "PLACE"],
    ["transfer", "--task", "knn", "--checkpoint", "random", "--data", "x", "--work", "PLACE"],
    ["convert", "no.pth", "PLACE", "--to", "timm"],
    ["preview", "mixmask", "--out", "PLACE"],
    ["data", "show", "patterns", "--out", "PLACE"],
    ["data", "prepare", "patterns", "--data-root", "PLACE"],
    ["leaderboard", "build", "results", "--out", "PLACE"],
    ["demo", "--out", "PLACE"],
    ["suite", "run", "demo", "--out", "PLACE"],
]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return places where nothing can be written, by what is wrong with them."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone" / "away")
    return {
        "file": str(tmp_path / "file" / "out"),
        "device": "/dev/null/out",
        "kernel": "/proc/out",
        "long": "x" * 300,
        "long in UTF-8": "é" * 200,
        "below something long": f"new/{'x' * 300}/out",
        "very long": "/".join(["x" * 200] * 40),
        "loop": str(tmp_path / "loop" / "out"),
        "link to nowhere": str(tmp_path / "nowhere"),
        "null": "a\0b",
    }


@pytest.mark.parametrize("arguments", WRITING, ids=lambda arguments: "-".join(arguments[:2]))
def test_an_impossible_place_is_refused_before_the_work(
    arguments: list[str], places: dict[str, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    for kind, place in places.items():
        code, said = run([place if part == "PLACE" else part for part in arguments], capsys)
        assert code == 2, (kind, said)
        assert said.startswith("mmbench: error: ") and said.count("\n") == 1, (kind, said)
        assert sorted(tmp_path.rglob("*")) == before, kind
    assert (tmp_path / "file").read_text() == "kept"


def test_a_possible_place_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "note.txt").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    for place in ("old", "new", "new/deeper/still", "note.txt", "é.png"):
        require_writable(tmp_path / place, "--out")
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "note.txt").read_text() == "kept"


def test_a_full_disk_is_a_fault_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tells a full disk from a wrong place is the error alone."""

    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mmbench.writable.tempfile.TemporaryFile", lambda dir: Full())
    with pytest.raises(OSError, match="No space") as refused:
        require_writable(tmp_path / "new", "--out")
    fault = fault_of(refused.value)
    assert fault is not None and fault.exit_code == 1


def python_mmbench(
    arguments: list[str], redirect: str, folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, through a shell that redirects its output."""
    words = f"'{sys.executable}' -m mmbench {' '.join(arguments)} {redirect}"
    return subprocess.run(
        ["bash", "-c", words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_an_output_that_takes_nothing_is_one_line(tmp_path: Path) -> None:
    done = python_mmbench(["--help"], "> /dev/full", tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"mmbench: error: [^\n]*(space|output)[^\n]*\n", done.stderr), done.stderr


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    done = python_mmbench(["transfer", "--list"], "| head -c 1; exit ${PIPESTATUS[0]}", tmp_path)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_an_ascii_terminal_shows_other_names_escaped(tmp_path: Path) -> None:
    environment = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = python_mmbench(["results", "list", f"'{tmp_path}/größe'"], "", tmp_path, **environment)
    assert done.returncode == 2
    assert done.stderr.startswith("mmbench: error: ") and done.stderr.isascii() and "/gr\\" in done.stderr


def test_errors_cross_process_borders() -> None:
    assert str(pickle.loads(pickle.dumps(UserError("a")))) == "a"
