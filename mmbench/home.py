"""`~` in paths that no shell has seen: values of YAML files, quoted options, arguments from Python."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from mmbench.errors import UserError, shown


def at_home(path: str) -> str:
    """Return a path with the user's home in place of a leading `~`; any other text as it is.

    >>> at_home("~/data") == str(Path.home() / "data"), at_home("data/~")
    (True, 'data/~')
    """
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path


def home_path(path: str | Path) -> Path:
    """Return a path with the user's home in place of a leading `~`.

    Raises:
        UserError: it is neither text nor a path, as an argument from Python may be.
    """
    if not isinstance(path, str | PathLike):
        raise UserError(f"{shown(path)} is not a path")
    return Path(at_home(str(path)))
