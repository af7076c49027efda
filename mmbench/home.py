"""`~` in paths that no shell has seen: values of YAML files, quoted options, arguments from Python."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from mmbench.errors import UserError, shown


def at_home(path: str) -> str:
    """Return a path with the user's home in place of a leading `~`; any other text as it is.

    >>> at_home("~/data") == str(Path.home() / "data"), at_home("data/~")
    (True, 'data/~')
    """
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path


def home_path(path: str | PathLike[str], name: str | None = None) -> Path:
    """Return a path with the user's home in place of a leading `~`.

    Args:
        name: of the argument from Python that is the path, for the message.

    Raises:
        UserError: it can be no path, as an argument from Python may be.
    """
    return Path(path_text(path, name))


def path_text(path: str | PathLike[str], name: str | None = None) -> str:
    """Return a path, or what may be a name instead of one, as text; see `home_path`."""
    about = "" if name is None else f"{name} = "
    text = os.fspath(path) if isinstance(path, str | PathLike) else path
    if not isinstance(text, str):
        raise UserError(f"{about}{shown(path)} is not a path")
    if "\0" in text:
        raise UserError(f"{about}{shown(text)} is not a path: none holds a null byte; check what was typed")
    return at_home(text)
