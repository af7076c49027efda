"""Optional libraries: one line that names the missing one and the command that installs it."""

from __future__ import annotations

import importlib.util

from mmbench.errors import MissingExtraError


def require_installed(task: str, command: str, **libraries: str) -> None:
    """Check that every module can be found, without importing it.

    Args:
        task: what needs them.
        command: installs them.
        libraries: module -> the library's name.

    Raises:
        MissingExtraError: one is not installed.
    """
    for module, library in libraries.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(library, task, command)
