"""Functions compiled by Numba for CPUs, where batched tensors would pass over memory once per operation.

Values do not depend on the CPU: without `fastmath`, Numba keeps the order of every sum and fuses no products.
Numba's cache sees changes of a function's own file only, so functions that call each other share a file.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import torch

Function = TypeVar("Function", bound=Callable[..., object])
VALUES_OF_A_THREAD = 2**20  # about a millisecond of work; a thread takes a tenth of that to begin


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


def over_threads(work: Callable[[slice], None], images: int, values: int) -> None:
    """Call `work` for slices of a batch that together hold all images, on as many threads as torch has.

    Args:
        work: changes nothing but what belongs to its slice, and lets other threads run.
        values: numbers that all slices write; a thread gets 2**20 of them at least.
    """
    threads = max(1, min(torch.get_num_threads(), images, values // VALUES_OF_A_THREAD))
    bounds = [images * place // threads for place in range(threads + 1)]
    slices = [slice(start, end) for start, end in itertools.pairwise(bounds)]
    others = [_pool(os.getpid(), threads - 1).submit(work, part) for part in slices[1:]]
    work(slices[0])
    for other in others:
        other.result()


@functools.lru_cache(1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return threads that wait for work; a forked `process` has none of its parent's."""
    return ThreadPoolExecutor(threads)
