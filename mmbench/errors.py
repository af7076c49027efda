"""Errors that are the user's to mend: one line that says what is wrong, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The command line prints the message as one line and exits with code 2."""

    exit_code = 2


class MissingExtraError(UserError):
    """An optional library is not installed.

    The message names the library, what needs it and the command that installs it.
    """

    def __init__(self, library: str, needed_for: str, command: str) -> None:
        super().__init__(f"{needed_for} needs {library}, which is not installed; run: {command}")
        self.library = library
        self._facts = (library, needed_for, command)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return MissingExtraError, self._facts  # errors cross process borders in `mmbench demo`


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Build the error for an unknown name, with a near match or else the list of known names.

    >>> str(unknown_name("task", "lineer", ["knn", "linear"]))
    "unknown task 'lineer'; did you mean 'linear'? (known: knn, linear)"
    """
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{matches[0]}'? " if matches else ""
    listing = ", ".join(names) if names else "none"
    return UserError(f"unknown {kind} '{name}'; {hint}(known: {listing})")
