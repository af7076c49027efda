"""The command line, called in this process as a user calls it."""

from __future__ import annotations

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
