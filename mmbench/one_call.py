"""What is kept for one call of the Python API or of the command line, and forgotten when that ends.

Data on disk may change between two calls in one process, such as a notebook's; within one call everything
sees the same.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Kept = TypeVar("Kept")

# What the call that is going on in this thread keeps: by function, its values by their arguments.
_kept: ContextVar[dict[object, OrderedDict[Hashable, Any]] | None] = ContextVar("kept", default=None)


@contextmanager
def one_call() -> Iterator[None]:
    """Begin a call, unless one is going on in this thread, of which this is a part; also a decorator."""
    if _kept.get() is not None:
        yield
        return
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def begin_call() -> None:
    """Begin a call that lasts as long as this thread, as a suite's worker serves one suite."""
    if _kept.get() is None:
        _kept.set({})


class OncePerCall(Generic[Parameters, Kept]):
    """A function whose last values are kept for the rest of a call; outside of one each is made anew.

    Relative paths mean other places after a change of folder: values are kept for the folder they were
    made in.
    """

    def __init__(self, function: Callable[Parameters, Kept], most: int) -> None:
        """Wrap `function`.

        Args:
            most: how many values are kept; of more, the one that was used longest ago is forgotten.
        """
        functools.update_wrapper(self, function)
        self._function = function
        self._most = most

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Kept:
        """Return the value that is kept for these arguments, or make it."""
        call = _kept.get()
        if call is None:
            return self._function(*args, **kwargs)
        values = call.setdefault(self, OrderedDict())
        key = (Path.cwd(), args, tuple(sorted(kwargs.items())))
        if key not in values:
            values[key] = self._function(*args, **kwargs)
            if len(values) > self._most:
                values.popitem(last=False)
        values.move_to_end(key)
        found: Kept = values[key]
        return found

    def cache_clear(self) -> None:
        """Forget what the call that is going on has kept, because the files were made anew."""
        call = _kept.get()
        if call is not None:
            call.pop(self, None)


def once_per_call(
    most: int,
) -> Callable[[Callable[Parameters, Kept]], OncePerCall[Parameters, Kept]]:
    """Return a decorator: see `OncePerCall`."""
    return lambda function: OncePerCall(function, most)
