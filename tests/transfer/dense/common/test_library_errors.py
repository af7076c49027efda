"""Errors of a library are its keys' where there are any, and otherwise stay what they are."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from mmbench.errors import UserError
from mmbench.faults import fault_of
from mmbench.transfer.dense.common.library_errors import of_library

ONE = {"A.SCHEDULER": "foo"}
TWO = {"model.norm_cfg.type": "BN", "model.head.class_weight": [1, 1], "optimizer.kind": "foo"}
IN_WORKER = (
    "Caught ValueError in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n"
    '  File "x.py", line 3, in f\nValueError: no size foo'
)


def line_of(error: Exception, library: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught, of_library(library, "Library"):
        raise error
    assert "\n" not in str(caught.value) and caught.value.__cause__ is error
    return str(caught.value)


@pytest.mark.parametrize(
    ("error", "library", "line"),
    [
        (ValueError("unknown\n  name: foo!"), ONE, "A.SCHEDULER=foo: unknown name: foo"),
        (KeyError("no object named 'foo'"), ONE, "A.SCHEDULER=foo: no object named 'foo'"),
        (ZeroDivisionError("division by zero"), ONE, "A.SCHEDULER=foo: division by zero"),
        (ValueError("unknown name: foo"), TWO, "optimizer.kind=foo: unknown name: foo"),
        (
            ValueError("the class_weight is short"),
            TWO,
            "model.head.class_weight=[1, 1]: the class_weight is short",
        ),
        (
            ValueError("it is food"),  # no word of it is a value
            TWO,
            "model.head.class_weight=[1, 1], model.norm_cfg.type=BN, optimizer.kind=foo: it is food",
        ),
        (ValueError(IN_WORKER), ONE, "A.SCHEDULER=foo: ValueError: no size foo"),
    ],
)
def test_an_error_names_the_keys_and_what_the_library_says(
    error: Exception, library: dict[str, Any], line: str
) -> None:
    assert line_of(error, library) == f"Library does not take {line}; give another value, or omit it"


def test_an_error_without_words_shows_the_statement_that_raised_it() -> None:
    with pytest.raises(UserError) as caught, of_library(ONE, "Library"):
        raise AssertionError
    assert "A.SCHEDULER=foo: AssertionError in `raise AssertionError`; give" in str(caught.value)
    with pytest.raises(UserError) as caught, of_library(ONE, "Library"):
        {}["act_cfg"]
    assert """A.SCHEDULER=foo: KeyError 'act_cfg' in `{}["act_cfg"]`; give""" in str(caught.value)


def test_a_long_error_is_cut() -> None:
    assert len(line_of(ValueError("many words " * 1000), ONE)) < 400


@pytest.mark.parametrize(
    "error",
    [
        UserError("an image cannot be read"),
        OSError(errno.ENOSPC, "No space left on device", "file"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."),
        KeyboardInterrupt(),
    ],
    ids=["user", "disk", "memory", "tensor", "worker", "stop"],
)
def test_faults_and_finished_messages_pass_unchanged(error: BaseException) -> None:
    assert isinstance(error, UserError | KeyboardInterrupt) or fault_of(error) is not None
    with pytest.raises(type(error)) as caught, of_library(ONE, "Library"):
        raise error
    assert caught.value is error


def test_without_keys_or_after_a_first_step_an_error_is_a_bug_and_stays() -> None:
    error = ValueError("unknown name: foo")
    with pytest.raises(ValueError, match="unknown name: foo") as caught, of_library({}, "Library"):
        raise error
    assert caught.value is error
    steps = list[int]()
    with pytest.raises(ValueError, match="foo"), of_library(ONE, "Library", lambda: bool(steps)):
        steps.append(1)
        raise error
    with pytest.raises(UserError), of_library(ONE, "Library", lambda: len(steps) > 1):
        raise error
