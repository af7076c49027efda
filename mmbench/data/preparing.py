"""Whether data sets may write what they lack, such as renderings; in a dry run they may not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmbench.errors import UserError

# What a run would have fetched by now, name -> words for it; None where data sets may write.
_fetched: ContextVar[dict[str, str] | None] = ContextVar("fetched", default=None)


class NotPreparedError(UserError):
    """A run would write files of a data set first, and nothing may be written."""


@contextmanager
def writing_nothing() -> Iterator[None]:
    """Let data sets write nothing within: opening one that would raises NotPreparedError."""
    token = _fetched.set({})
    try:
        yield
    finally:
        _fetched.reset(token)


def nothing_is_written() -> bool:
    """Return whether data sets may write nothing."""
    return _fetched.get() is not None


def before_writing(what: str) -> None:
    """Call this before the files of a data set are written.

    Args:
        what: such as "the Patterns data are not in data/patterns yet; a run renders them first".

    Raises:
        NotPreparedError: nothing may be written.
    """
    if nothing_is_written():
        raise NotPreparedError(what)


def fetch_later(name: str, what: str) -> None:
    """Let opening a data set raise NotPreparedError(what) from now on, where nothing may be written."""
    promised = _fetched.get()
    if promised is not None:
        promised[name] = what


def require_fetched(name: str) -> None:
    """Raise NotPreparedError for a data set that a run would have fetched by now."""
    if what := (_fetched.get() or {}).get(name):
        raise NotPreparedError(what)
