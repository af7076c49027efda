"""Arrays in pickles: what numpy writes arrives, and what is forged reaches nothing."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from mmbench.checkpoints.files.pickled_arrays import dump_arrays, load_arrays
from mmbench.checkpoints.files.stored_arrays import as_tensor
from mmbench.errors import UserError

KINDS = ["<f4", ">f4", "<f8", "<f2", "<i8", ">i4", "u1", "bool"]


@given(
    array=st.sampled_from(KINDS).flatmap(
        lambda kind: hypothesis_numpy.arrays(kind, hypothesis_numpy.array_shapes(min_dims=0, min_side=0))
    ),
    protocol=st.integers(2, 5),
    fortran=st.booleans(),
)
def test_what_numpy_writes_arrives(
    array: np.ndarray[Any, Any], protocol: int, fortran: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pickles", numbered=True) / "a.pkl"
    stored = np.asfortranarray(array) if fortran and array.ndim else array
    path.write_bytes(pickle.dumps(OrderedDict(a=stored, b=array.dtype.type(1)), protocol=protocol))
    found = load_arrays(path)
    tensor = as_tensor(found["a"])
    assert tensor is not None
    native = array.astype(array.dtype.newbyteorder("="))
    assert tensor.numpy().dtype == native.dtype and tensor.shape == array.shape
    np.testing.assert_array_equal(tensor.numpy(), native)
    assert found["b"] == 1


def test_python_2_wrote_bytes_as_text(tmp_path: Path) -> None:
    """A pickle of protocol 2 as Python 2 wrote it: the bytes of an array are a string."""
    array = np.arange(3, dtype="<f4")
    written = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x03\x85"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x0c" + array.tobytes() + b"tb."
    )
    (tmp_path / "a.pkl").write_bytes(written)
    tensor = as_tensor(load_arrays(tmp_path / "a.pkl"))
    assert tensor is not None and tensor.tolist() == [0, 1, 2]


def test_our_pickles_use_names_that_every_numpy_has(tmp_path: Path) -> None:
    dump_arrays({"a": torch.arange(6.0).reshape(2, 3)}, {"__author__": "me"}, tmp_path / "a.pkl")
    data = (tmp_path / "a.pkl").read_bytes()
    assert b"numpy" in data and b"_core" not in data and b"numpy.core" not in data
    content = pickle.loads(data)
    assert type(content["model"]["a"]) is np.ndarray and content["model"]["a"].flags.writeable
    np.testing.assert_array_equal(content["model"]["a"], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ((1, (4,), np.dtype("f4"), False, bytes(12)), "does not hold its bytes"),
        ((1, (-3,), np.dtype("f4"), False, bytes(12)), "does not hold its bytes"),
        ((1, (2**62,), np.dtype("f4"), False, bytes(12)), "does not hold its bytes"),
        ((1, 3, np.dtype("f4"), False, bytes(12)), "does not hold its bytes"),
        ((1, (3,), np.dtype("f4"), False, [1, 2, 3]), "does not hold its bytes"),
    ],
)
def test_forged_arrays_are_refused(state: tuple[Any, ...], words: str, tmp_path: Path) -> None:
    class Forged:
        def __reduce__(self) -> tuple[Any, ...]:
            return np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), state

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Forged()))
    with pytest.raises(UserError, match=words):
        as_tensor(load_arrays(tmp_path / "a.pkl"))


def test_arrays_of_objects_are_no_weights(tmp_path: Path) -> None:
    """Also where the dtype claims to be of numbers and its flags say objects."""
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([np.array([None]), np.array(["a"]), np.zeros(2, "c8")]))
    assert [as_tensor(value) for value in load_arrays(tmp_path / "a.pkl")] == [None, None, None]
