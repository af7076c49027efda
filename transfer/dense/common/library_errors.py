"""Errors of a library that come from its own keys, which a user states: one line, as for settings."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmbench.errors import UserError, one_line, shown
from mmbench.faults import fault_of

LONGEST_REASON = 300  # characters


def _never() -> bool:
    return False


@contextlib.contextmanager
def of_library(library: Mapping[str, Any], owner: str, proven: Callable[[], bool] = _never) -> Iterator[None]:
    """Report errors within as coming from keys of the library's own configuration, where any are stated.

    Faults of the machine and errors that are in one line already pass unchanged. Without such keys
    everything does: then an error is a bug, and its traceback must show.

    Args:
        library: the keys that the user states, and their values.
        owner: the library's name.
        proven: tells whether the keys have done a first step, after which they are not to blame.

    Raises:
        UserError: the library does not take the keys.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not library or proven() or fault_of(error) is not None:
            raise
        reason = one_line(_reason(error).rstrip(".!"), LONGEST_REASON)
        stated = ", ".join(f"{name}={_written(library[name])}" for name in _concerned(library, reason))
        raise UserError(
            f"{owner} does not take {stated}: {reason}; give another value, or omit it"
        ) from error


def _written(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() else shown(value)


def _reason(error: Exception) -> str:
    """Return what an error says; where it says nothing, the statement that raised it."""
    text = " ".join(_last_part(str(error)).split())
    if isinstance(error, KeyError) and len(error.args) == 1 and isinstance(error.args[0], str):
        text = " ".join(error.args[0].split())  # str() would quote it
    if " " in text:
        return text
    frames = traceback.extract_tb(error.__traceback__)
    statement = (frames[-1].line if frames else None) or "it gives no reason"
    kind = type(error).__name__
    return f"{kind} {text!r} in `{statement}`" if text else f"{kind} in `{statement}`"


def _last_part(text: str) -> str:
    """Return the last line of an error that comes from a process that reads data, else everything."""
    return text.strip().splitlines()[-1] if "Original Traceback" in text else text


def _concerned(library: Mapping[str, Any], reason: str) -> list[str]:
    """Return the keys that a reason is about: those whose value or part of a name is in it, else all."""

    def within(word: object) -> bool:
        return re.search(rf"(?<!\w){re.escape(str(word))}(?!\w)", reason) is not None

    by_value = [name for name, value in library.items() if isinstance(value, str) and within(value)]
    by_name = [name for name in library if any("_" in part and within(part) for part in name.split("."))]
    return sorted(by_value or by_name or library)
