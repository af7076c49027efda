"""Functions compiled by Numba for CPUs, where batched tensors would pass over memory once per operation.

Values do not depend on the CPU: without `fastmath`, Numba keeps the order of every sum and fuses no products.
Numba's cache sees changes of a function's own file only, so functions that call each other share a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function at its first call; it runs without Python's lock, and checks no index.

    What is compiled is kept for later runs, beside the function's file or in the user's cache; where neither
    can be written, each run compiles again (seconds).
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": True}
    try:
        result: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache
        result = numba.njit(**options)(function)
    return result
