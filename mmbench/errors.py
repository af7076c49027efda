"""Errors that the user can fix: one line that says what is wrong, where, and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_LISTED = 30  # names in an error
LONGEST_SHOWN = 80  # characters of a value in a message


def shown(value: object, longest: int = LONGEST_SHOWN) -> str:
    """Return a value for a message: on one line, printable, and no longer than `longest` characters.

    >>> shown(0.5), shown("a\\nb"), shown("x" * 500, 10)
    ('0.5', "'a\\\\nb'", "'xxxxxx...")
    """
    try:
        text = ascii(value) if not _is_printable(value) else one_line(repr(value))
    except (ValueError, RecursionError, MemoryError):  # an integer above Python's limit of digits
        return f"<{type(value).__name__} that is too long to show>"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _is_printable(value: object) -> bool:
    return not isinstance(value, str) or value.isprintable()


def one_line(text: str, longest: int = 2000) -> str:
    """Return text with line breaks, control characters and lone surrogates escaped, at most `longest` long.

    >>> one_line("a\\nb")
    'a\\\\nb'
    """
    safe = text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return safe if len(safe) <= longest else f"{safe[: longest - 3]}..."


def typed(text: str) -> str:
    """Return what the user typed, for a message: unchanged if it is short and printable, else as `shown`."""
    return text if text.isprintable() and len(text) <= LONGEST_SHOWN else shown(text)


class UserError(Exception):
    """Bad input. The command line prints the message as one line and exits with code 2.

    Attributes:
        told_elsewhere: it is the first process's, which prints it.
    """

    exit_code = 2
    told_elsewhere = False


class MachineError(UserError):
    """A fault of the machine that is found by looking, such as too little disk: exit code 1."""

    exit_code = 1


class MissingExtraError(UserError):
    """An optional library is not installed.

    The message names the library, what needs it and the command that installs it.
    """

    def __init__(self, library: str, needed_for: str, command: str) -> None:
        super().__init__(f"{needed_for} needs {library}, which is not installed; run: {command}")
        self.library = library
        self._facts = (library, needed_for, command)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str]]:
        return MissingExtraError, self._facts  # errors are pickled between processes


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Build the error for an unknown name, with a near match and the known names, of many those of its kind.

    >>> str(unknown_name("task", "lineer", ["knn", "linear"]))
    "unknown task 'lineer'; did you mean 'linear'? (known: knn, linear)"
    """
    names = sorted(known)
    # difflib's time is quadratic in the length, and no name is long.
    matches = difflib.get_close_matches(name[:LONGEST_SHOWN], names, n=1, cutoff=0.5)
    hint = f"; did you mean '{matches[0]}'?" if matches else ""
    kin = [known for known in names if known.partition("/")[0] == name.partition("/")[0]]
    listed = names if len(names) <= MOST_LISTED else (kin or names)[:MOST_LISTED]
    listing = ", ".join(listed) if listed else "none"
    if len(names) > len(listed):
        listing += f", and {len(names) - len(listed)} more"
    return UserError(f"unknown {kind} '{one_line(name, LONGEST_SHOWN)}'{hint} (known: {listing})")
