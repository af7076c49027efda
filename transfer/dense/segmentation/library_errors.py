"""Errors that mmengine raises while it builds what the user's own keys changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from mmbench.errors import UserError

CAUSES = (TypeError, ValueError, AssertionError, KeyError, AttributeError, RuntimeError, NotImplementedError)


@contextlib.contextmanager
def of_library(library: Mapping[str, Any]) -> Iterator[None]:
    """Turn errors within into one line, if there are keys of the user's own.

    Raises:
        UserError: mmsegmentation does not take them.
    """
    try:
        yield
    except UserError:
        raise
    except CAUSES as error:
        if not library:
            raise
        changed = ", ".join(f"{name}={value}" for name, value in sorted(library.items()))
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"mmsegmentation does not take {changed}: {reason}") from None
