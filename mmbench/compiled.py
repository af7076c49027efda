"""Functions compiled by Numba for CPUs, where batched tensors would pass over memory once per operation.

Without `fastmath`, Numba keeps the order of every sum and fuses no products, whatever the CPU has.
Numba's cache sees changes of a function's own file only, so functions that call each other share a file.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numba
import torch

Function = TypeVar("Function", bound=Callable[..., object])
logger = logging.getLogger("mmbench")
VALUES_OF_A_THREAD = 2**20  # about a millisecond of work; a thread takes a tenth of that to begin


def compiled(function: Function) -> Function:
    """Compile a function at its first call; it runs without Python's lock, and checks no index.

    What is compiled is kept for later runs, beside the function's file or in the user's cache. Where neither
    can be written, or what is there is damaged, the run compiles again (seconds).
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": True}
    try:
        result: Function = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache
        return cast(Function, numba.njit(**options)(function))
    cache = getattr(result, "_cache", None)
    if cache is not None:  # None with NUMBA_DISABLE_JIT=1
        _let_fail(cache)
    return result


def _let_fail(cache: Any) -> None:
    """Let a run go on where Numba's cache is damaged or cannot be written, which Numba itself does not."""
    load, save = cache.load_overload, cache.save_overload

    def load_if_sound(*wanted: Any) -> Any:
        try:
            return load(*wanted)
        except Exception as error:  # pickle raises almost anything
            _say_once(f"what was compiled in {cache.cache_path} is damaged ({error!r}) and is compiled again")
            with contextlib.suppress(Exception):
                cache.flush()
            return None

    def save_if_possible(*compiled_function: Any) -> None:
        try:
            save(*compiled_function)
        except Exception as error:
            _say_once(
                f"what was compiled cannot be kept in {cache.cache_path} ({error}), so the next run compiles "
                "again; free some space, or name another folder by NUMBA_CACHE_DIR"
            )

    cache.load_overload, cache.save_overload = load_if_sound, save_if_possible


@functools.cache
def _say_once(message: str) -> None:
    logger.warning(message)


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
