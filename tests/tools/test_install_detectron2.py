"""The installer on tiny wheels: what it checks, drops, re-tags, and what it leaves alone when it fails."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmbench.tools import install_detectron2 as installer


def make_wheel(folder: Path) -> Path:
    """Write a valid wheel for CPython 3.10 on Linux with one module and one `_C` extension."""
    info = "sal_detectron2-0.7.2.dist-info"
    files = {
        "detectron2/__init__.py": b"WORKS = True\n",
        "detectron2/_C.cpython-310-x86_64-linux-gnu.so": b"\x7fELF compiled for another Python",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: sal-detectron2\nVersion: 0.7.2\n",
        f"{info}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: cp310-cp310-linux_x86_64\n"
        ),
    }
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for name, data in files.items()
    ]
    path = folder / "sal_detectron2-0.7.2-cp310-cp310-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


class FakePip:
    """Answers `pip download` with a given wheel, notes `pip install`, and really runs everything else."""

    def __init__(self, wheel: Path) -> None:
        self.wheel = wheel
        self.download: list[str] = []
        self.installed: dict[str, bytes] = {}
        self.installed_names: list[str] = []

    def __call__(self, arguments: Sequence[str], extra_path: Path | None = None) -> None:
        words = list(arguments)
        if words[:3] == ["-m", "pip", "download"]:
            self.download = words
            target = Path(words[words.index("--dest") + 1])
            target.mkdir()
            (target / self.wheel.name).write_bytes(self.wheel.read_bytes())
        elif words[:3] == ["-m", "pip", "install"]:
            assert "--no-deps" in words
            self.installed_names.append(Path(words[-1]).name)
            with zipfile.ZipFile(words[-1]) as archive:
                self.installed = {name: archive.read(name) for name in archive.namelist()}
        else:
            installer.run_python(arguments, extra_path)


def test_wheel_is_checked_stripped_retagged_and_installed(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    pip = FakePip(wheel)
    installer.install_wheel(pip, hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert pip.installed_names == ["sal_detectron2-0.7.2-py3-none-any.whl"]
    assert not [name for name in pip.installed if "_C" in name]
    assert pip.installed["detectron2/__init__.py"] == b"WORKS = True\n"
    assert b"Tag: py3-none-any" in pip.installed["sal_detectron2-0.7.2.dist-info/WHEEL"]
    assert b"_C" not in pip.installed["sal_detectron2-0.7.2.dist-info/RECORD"]
    asked = " ".join(pip.download)
    assert "--only-binary=:all: --implementation cp --abi none --python-version 3.10" in asked
    assert asked.endswith("sal-detectron2==0.7.2")


def test_another_file_than_the_checked_one_is_not_installed(tmp_path: Path) -> None:
    pip = FakePip(make_wheel(tmp_path))
    with pytest.raises(installer.InstallError, match="not the file that was checked; nothing was installed"):
        installer.install_wheel(pip)
    assert pip.installed_names == []


def test_wheel_damaged_inside_is_not_installed(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    damaged = tmp_path / "damaged" / wheel.name
    damaged.parent.mkdir()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(damaged, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"other bytes\n" if name == "detectron2/__init__.py" else old.read(name))
    pip = FakePip(damaged)
    with pytest.raises(installer.InstallError, match="wheel unpack"):
        installer.install_wheel(pip, hashlib.sha256(damaged.read_bytes()).hexdigest())
    assert pip.installed_names == []


def test_failing_command_becomes_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(installer.InstallError, match=r"^`python -c .* failed: ERROR: no such thing$"):
        installer.run_python(["-c", "import sys; sys.exit('working\\nERROR: no such thing\\nbye')"])
    assert capfd.readouterr() == ("", "")


def test_missing_pip_and_missing_torch_say_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(installer.InstallError, match=r"pip is missing; run: .* -m ensurepip"):
        installer.require_pip(installer.run_python)
    with pytest.raises(installer.InstallError, match="pip install torch"):
        installer.install_official(installer.run_python)


def test_failure_exits_with_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(official: bool) -> None:
        raise installer.InstallError("no network")

    monkeypatch.setattr(installer, "install", fail)
    assert installer.main(["--official"]) == 2
    assert capsys.readouterr().err == "detectron2: error: no network\n"


def test_script_finds_detectron2_at_once_without_importing_torch() -> None:
    probe = (
        "import runpy, sys, time; start = time.perf_counter(); sys.argv = sys.argv[1:]\n"
        "sys.path.insert(0, 'tools')  # as `python tools/...` does\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'torch', 'click', 'mmbench'} & set(sys.modules)\n"
        "print(time.perf_counter() - start)"
    )
    script = Path(installer.__file__)
    done = subprocess.run(
        [sys.executable, "-c", probe, str(script)], capture_output=True, text=True, cwd=script.parent.parent
    )
    assert done.returncode == 0, done.stderr
    words, seconds = done.stdout.splitlines()
    assert words == f"detectron2: version {installer.installed_version()} is already installed"
    assert float(seconds) < 1.0
