"""Plain pickles of numpy arrays, Detectron2's files, by an unpickler that knows nothing else."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mmbench.checkpoints.files.stored_arrays import STAND_INS
from mmbench.errors import UserError
from mmbench.files import HashedWriter


def _empty() -> bytes:
    """Return no bytes, as protocol 2 writes them; the real `bytes` would allocate any number."""
    return b""


def _latin1(text: str, encoding: str) -> bytes:
    """Return bytes that protocol 2 spells as text; other encodings are not used for it."""
    if encoding != "latin1":
        raise PermissionError(f"_codecs.encode with {encoding}")
    return text.encode(encoding)


ADMITTED: dict[str, Any] = {
    **STAND_INS,
    "collections.OrderedDict": collections.OrderedDict,
    "_codecs.encode": _latin1,
    "__builtin__.bytes": _empty,
}


class ArrayUnpickler(pickle.Unpickler):
    """Admits numpy arrays and plain containers; every other name in the file ends the reading."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what takes the place of an admitted name.

        Raises:
            PermissionError: the file names something else.
        """
        try:
            return ADMITTED[f"{module}.{name}"]
        except KeyError:
            raise PermissionError(f"{module}.{name}") from None


class ArrayPickler(pickle.Pickler):
    """Spells an array as numpy.ndarray(shape, dtype, bytes): names that every numpy has had, and no copy."""

    def reducer_override(self, value: Any) -> Any:
        """Return the spelling of an array, the usual way for everything else."""
        if not isinstance(value, np.ndarray):
            return NotImplemented
        contiguous = np.ascontiguousarray(value)
        return np.ndarray, (value.shape, value.dtype.str, pickle.PickleBuffer(contiguous.data))


def load_arrays(path: Path) -> Any:
    """Return what the pickle holds, arrays as `StoredArray`.

    Raises:
        UserError: it names anything but arrays and plain containers, or is broken.
    """
    try:
        with path.open("rb") as stream:
            return ArrayUnpickler(stream, encoding="latin1").load()
    except PermissionError as error:
        raise UserError(
            f"{path} is a pickle that calls {error}, which could run code when it is read, so it is refused; "
            "only numpy arrays in plain containers are read from a pickle: save those alone"
        ) from None
    except Exception as error:  # broken bytes can end anywhere in the unpickler
        words = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(f"{path} is a broken pickle ({words}); get it again") from None


def dump_arrays(tensors: dict[str, Tensor], beside: dict[str, Any], path: Path) -> str:
    """Write {"model": name -> array, **beside}, and return the SHA-256 of the file."""
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    with HashedWriter(path) as stream:
        ArrayPickler(stream, protocol=5).dump({"model": arrays, **beside})
    return stream.digest
