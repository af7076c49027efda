"""What a pickle says of numpy arrays, kept as strings and bytes until it has been checked.

numpy's own unpickling trusts the flags and fields in the file, so a forged file can reach memory that it must
not. These stand-ins take the same calls and only record them.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbench.errors import UserError

NUMBERS = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
# Of what numpy pickles, each name that only describes an array or a number.
CORES = ("numpy.core", "numpy._core")


class StoredDtype:
    """Takes the calls of numpy.dtype; `name` is None for all but plain numbers."""

    def __init__(self, spec: object = None, *_: object) -> None:
        match = NUMBERS.fullmatch(spec) if isinstance(spec, str) else None
        self.kind = match[1] if match else None
        self.order = spec[0] if match and isinstance(spec, str) and spec[0] in "<>" else "="

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = "=" if state[1] == "|" else state[1]

    @property
    def name(self) -> str | None:
        """Kind, size and byte order of plain numbers, such as "<f4"."""
        return None if self.kind is None else self.order + self.kind


class StoredArray:
    """Takes the calls of numpy.ndarray and of what rebuilds one: shape, dtype, order and bytes."""

    def __init__(self, shape: object = (), dtype: object = None, buffer: object = b"", *_: object) -> None:
        self.shape, self.dtype, self.buffer, self.fortran = shape, dtype, buffer, False

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 5:
            _, self.shape, self.dtype, self.fortran, self.buffer = state

    def array(self) -> np.ndarray[Any, Any] | None:
        """Return the array, None where it holds something else than numbers.

        Raises:
            UserError: shape and bytes do not fit together.
        """
        kind = StoredDtype(self.dtype) if isinstance(self.dtype, str) else self.dtype
        if not isinstance(kind, StoredDtype) or kind.name is None:
            return None
        data = self.buffer.encode("latin1") if isinstance(self.buffer, str) else self.buffer
        dtype, shape = np.dtype(kind.name), self.shape
        if (
            not isinstance(data, bytes | bytearray)
            or not isinstance(shape, tuple)
            or not all(isinstance(side, int) and side >= 0 for side in shape)
            or math.prod(shape) * dtype.itemsize != len(data)
        ):
            raise UserError(f"an array of shape {shape} does not hold its bytes: the file is damaged")
        flat = np.frombuffer(data if isinstance(data, bytearray) else bytearray(data), dtype)
        return flat.reshape(shape, order="F" if self.fortran else "C")


def _reconstruct(*_: object) -> StoredArray:
    """Take the call of numpy's `_reconstruct`: an empty array, whose state follows."""
    return StoredArray()


def _frombuffer(buffer: object, dtype: object, shape: object, order: object, *_: object) -> StoredArray:
    """Take the call of numpy's `_frombuffer`, of protocol 5."""
    stored = StoredArray(shape, dtype, buffer)
    stored.fortran = order == "F"
    return stored


def _scalar(dtype: object, data: object = b"") -> float | int | bool | None:
    """Take the call of numpy's `scalar` and return the number."""
    array = StoredArray((), dtype, data).array()
    return None if array is None else array.item()


# Name in a file -> what takes its place.
STAND_INS: dict[str, Any] = {
    "numpy.ndarray": StoredArray,
    "numpy.dtype": StoredDtype,
    **{f"{core}.multiarray._reconstruct": _reconstruct for core in CORES},
    **{f"{core}.multiarray.scalar": _scalar for core in CORES},
    **{f"{core}.numeric._frombuffer": _frombuffer for core in CORES},
}


def as_tensor(value: object) -> Tensor | None:
    """Return a tensor for a tensor or a stored array of numbers, and None for everything else.

    Raises:
        UserError: a stored array whose shape and bytes do not fit together.
    """
    if isinstance(value, Tensor):
        return value
    array = value.array() if isinstance(value, StoredArray) else None
    if array is None:
        return None
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(native.reshape(array.shape))
