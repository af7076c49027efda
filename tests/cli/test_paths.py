"""Weights and data that are not there are refused before torch is imported, by the words of their readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmbench.checkpoints.reading import load_backbone
from mmbench.data import load_dataset
from mmbench.errors import UserError

WEIGHTS = ("missing", "no/such.pth", "empty.pth", "page.pth", "pointer.pth", "text.pth", "folder")
DATA = ("missing", "no/such", "patern")
REFUSED: list[list[str]] = [
    *(["inspect", name] for name in WEIGHTS),
    *(["convert", name, "out", "--to", "timm"] for name in WEIGHTS),
    *(["transfer", "--checkpoint", name] for name in WEIGHTS),
    *(["embed", "--checkpoint", name, "--data", "patterns", "--out", "x.npy"] for name in WEIGHTS),
    ["transfer", "--config", "run.yaml"],
    *(["data", "check", name] for name in DATA),
    *(["data", "show", name, "--out", "x.png"] for name in DATA),
    *(["transfer", "--task", "knn", "--checkpoint", "random", "--data", name] for name in DATA),
    *(["embed", "--checkpoint", "timm:resnet18", "--data", name, "--out", "x.npy"] for name in DATA),
    *(["pretrain", "--method", "moco", "--data", name, "--out", "run"] for name in DATA),
    *(["preview", "moco", "--data", name, "--out", "x.png"] for name in DATA),
    ["data", "prepare", "patern"],
    ["data", "manifest", "patern"],
    ["watch", "missing", "--task", "knn"],
    ["watch", "folder", "--task", "knn"],
    ["reproduce", "missing"],
]
DONE = [["transfer", "--list"], ["transfer", "--list", "--task", "knn"], ["pretrain", "--list"]]
# In one process, as none of them may load what the next one must not.
EACH = """
import contextlib, io, json, sys
from mmbench.cli.commands import main
found = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as error:
        try:
            main(arguments)
        except SystemExit as stop:
            loaded = [name for name in ("torch", "timm", "torchvision", "pandas") if name in sys.modules]
            found.append([stop.code, error.getvalue(), loaded])
print(json.dumps(found))
"""


def run(commands: list[list[str]], folder: Path) -> list[tuple[int, str, list[str]]]:
    """Return exit code, errors and the heavy libraries that are loaded after each command."""
    words = [sys.executable, "-c", EACH, json.dumps(commands)]
    answer = subprocess.run(words, capture_output=True, text=True, cwd=folder, timeout=300)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return [tuple(found) for found in json.loads(answer.stdout.splitlines()[-1])]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "empty.pth").touch()
    (tmp_path / "page.pth").write_text("\n<html>404</html>")
    (tmp_path / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "text.pth").write_text("weights")
    (tmp_path / "folder").mkdir()
    (tmp_path / "run.yaml").write_text("task: knn\ncheckpoint: missing\ndata: patterns\n")
    return tmp_path


def test_what_is_not_there_is_refused_without_torch(place: Path) -> None:
    before = sorted(path.name for path in place.iterdir())
    for arguments, (code, error, loaded) in zip(REFUSED, run(REFUSED, place), strict=True):
        assert code == 2 and error.startswith("mmbench: error: ") and error.count("\n") == 1, (
            arguments,
            error,
        )
        assert loaded == [], arguments
    assert sorted(path.name for path in place.iterdir()) == before


def test_lists_need_no_torch(tmp_path: Path) -> None:
    for arguments, (code, error, loaded) in zip(DONE, run(DONE, tmp_path), strict=True):
        assert (code, error, loaded) == (0, "", []), arguments


def test_the_words_are_those_of_the_readers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    commands = [["inspect", name] for name in WEIGHTS] + [["data", "check", name] for name in DATA]
    said = [error.removeprefix("mmbench: error: ").strip() for _, error, _ in run(commands, place)]
    expected = []
    for name in WEIGHTS:
        with pytest.raises(UserError) as refusal:
            load_backbone(name)
        expected.append(str(refusal.value))
    for name in DATA:
        with pytest.raises(UserError) as refusal:
            load_dataset(name)
        expected.append(str(refusal.value))
    assert said == expected
