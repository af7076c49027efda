"""The command line, called in this process as a user calls it, and the folders that it is called in."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmbench.cli import commands as cli
from mmbench.data import load_dataset


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error; data are opened anew."""
    load_dataset.cache_clear()
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def tree(folder: Path) -> dict[str, bytes]:
    """What is in a folder: the content of files, nothing for folders."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def write_imagenet_archives(root: Path) -> None:
    """Write files with the names of ImageNet's archives of train, which nothing can be unpacked from."""
    root.mkdir(parents=True)
    for name in ("devkit_t12.tar.gz", "img_train.tar"):
        (root / f"ILSVRC2012_{name}").write_bytes(b"archive")
