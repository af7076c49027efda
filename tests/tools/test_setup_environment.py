"""The set-up script: clear refusals, and the stamp only after everything worked."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmbench.tools import setup_environment


def test_old_python_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(setup_environment, "OLDEST_PYTHON", (99, 0))
    with pytest.raises(SystemExit) as stop:
        setup_environment.set_up(tmp_path / "venv")
    assert stop.value.code == 2
    assert "newer is needed" in capsys.readouterr().err
    assert not (tmp_path / "venv").exists()


def test_full_disk_is_refused_before_anything_is_made(
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
    # mmcv must be built in isolation, before the command that builds without: else it compiles against torch.
    apart = next(index for index, command in enumerate(commands) if "onedl-mmcv" in command)
    beside = next(index for index, command in enumerate(commands) if "--no-build-isolation" in command)
    assert "--no-build-isolation" not in commands[apart] and apart < beside


def test_headless_opencv_takes_over_where_the_ordinary_one_cannot_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands: list[str] = []

    def only_cv2_fails(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(" ".join(command))
        return SimpleNamespace(returncode=int("import cv2" in command))

    monkeypatch.setattr(setup_environment.subprocess, "run", only_cv2_fails)
    setup_environment.mend_opencv(Path("python"))
    assert any("uninstall" in command and "opencv-python" in command for command in commands)
    assert commands[-1].endswith("opencv-python-headless")
