"""The set-up script: clear errors, and the stamp only after every step worked."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmbench.tools import setup_environment


def test_old_python_is_one_line_of_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(setup_environment, "OLDEST_PYTHON", (99, 0))
    with pytest.raises(SystemExit) as stop:
        setup_environment.set_up(tmp_path / "venv")
    assert stop.value.code == 2
    assert "newer is needed" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()


def test_full_disk_is_an_error_before_anything_is_created(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**30))
    with pytest.raises(SystemExit):
        setup_environment.set_up(tmp_path / "venv")
    assert "GiB of free disk" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()


def test_a_failing_step_leaves_no_stamp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**40))
    commands: list[str] = []

    def fail_at_torch(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(" ".join(command))
        return SimpleNamespace(returncode=int("torchvision" in command), stdout="", stderr="")

    monkeypatch.setattr(setup_environment.subprocess, "run", fail_at_torch)
    (tmp_path / "venv").mkdir()
    with pytest.raises(SystemExit):
        setup_environment.set_up(tmp_path / "venv")
    assert "torchvision" in commands[-1] and not (tmp_path / "venv" / ".ready").exists()

    monkeypatch.setattr(
        setup_environment.subprocess,
        "run",
        lambda command, **_: commands.append(" ".join(command)) or SimpleNamespace(returncode=0),
    )
    setup_environment.set_up(tmp_path / "venv")
    assert (tmp_path / "venv" / ".ready").exists()
    assert "install_detectron2" in commands[-1]
    # mmcv must be built in isolation, before the command that builds without isolation: otherwise it
    # compiles against torch.
    apart = next(index for index, command in enumerate(commands) if "onedl-mmcv" in command)
    beside = next(index for index, command in enumerate(commands) if "--no-build-isolation" in command)
    assert "--no-build-isolation" not in commands[apart] and apart < beside


@pytest.mark.parametrize("ordinary_build_is_there", [True, False])
def test_headless_opencv_replaces_the_ordinary_build(
    ordinary_build_is_there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[str] = []

    def pip(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(" ".join(command))
        return SimpleNamespace(returncode=int("show" in command and not ordinary_build_is_there))

    monkeypatch.setattr(setup_environment.subprocess, "run", pip)
    setup_environment.use_headless_opencv(Path("python"))
    removals = [command for command in commands if "uninstall" in command]
    assert len(removals) == int(ordinary_build_is_there)
    # Both builds own the files of cv2, so the headless one must be installed after the removal.
    assert commands[-1].endswith("opencv-python-headless") and "--no-deps" in commands[-1]


def test_one_build_of_opencv_is_pinned() -> None:
    pins = (setup_environment.ROOT / "constraints.txt").read_text().splitlines()
    assert [pin.split("==")[0] for pin in pins if pin.startswith("opencv")] == ["opencv-python-headless"]
