"""Arguments of the Python API: NumPy's scalars as Python's own, and wrong ones refused before any work."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mmbench.errors import UserError, shown
from mmbench.settings.types import LARGEST_SEED


def plain(value: Any) -> Any:
    """Return a value with Python's own numbers, text and lists in place of NumPy's, inside too.

    >>> plain({"neighbours": np.int64(5), "rates": np.array([0.5, 1.0])})
    {'neighbours': 5, 'rates': [0.5, 1.0]}
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    return value


def whole_number(value: Any, name: str, low: int, high: int) -> int:
    """Return a whole number of Python, NumPy or another library as Python's.

    Args:
        name: of the argument, for the message.

    Raises:
        UserError: it is none from `low` to `high`; True and False are none.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise UserError(f"{name} = {shown(value)}: must be a whole number from {low} to {high}")
    return number


def optional_number(value: Any, name: str, low: int, high: int) -> int | None:
    """Return None as it is, anything else as `whole_number` does."""
    return None if value is None else whole_number(value, name, low, high)


def seeds_of(seeds: Iterable[Any] | None) -> tuple[int, ...] | None:
    """Return the seeds of a call; None where the protocol's trials are asked for.

    Raises:
        UserError: it is a number or text instead of several seeds, or one is no seed.
    """
    if seeds is None:
        return None
    try:
        if isinstance(seeds, str | bytes):
            raise TypeError
        several = list(seeds)
    except TypeError:
        raise UserError(f"seeds = {shown(seeds)}: must be several whole numbers, such as [0]") from None
    if not several:
        raise UserError(f"seeds = {shown(seeds)}: name at least one, such as [0]")
    return tuple(whole_number(seed, "seeds: a seed", 0, LARGEST_SEED) for seed in several)


def settings_of(overrides: Any, name: str, example: str) -> dict[str, Any]:
    """Return settings by name, with plain values; None states none.

    Args:
        name: of the argument, for the message.
        example: a setting and its value, for the message.

    Raises:
        UserError: it is no mapping, or a name is not text.
    """
    if overrides is None:
        return {}
    if not isinstance(overrides, Mapping):
        raise UserError(f"{name} = {shown(overrides)}: must be settings by name, such as {{{example}}}")
    for key in overrides:
        if not isinstance(key, str):
            raise UserError(f"{name}: {shown(key)} is not the name of a setting, such as {{{example}}}")
    return {str(key): plain(value) for key, value in overrides.items()}


def require_texts(**values: Any) -> None:
    """Check that arguments are text where they are given.

    Raises:
        UserError: one is not; it is named.
    """
    for name, value in values.items():
        if not isinstance(value, str | None):
            raise UserError(f"{name} = {shown(value)}: must be text")


def flag(value: Any, name: str) -> bool:
    """Return True or False of Python or NumPy as Python's.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(value, bool | np.bool_):
        raise UserError(f"{name} = {shown(value)}: must be True or False")
    return bool(value)


def require_callables(**values: Any) -> None:
    """Check that arguments are functions, before the work of which they are told.

    Raises:
        UserError: one is not; it is named.
    """
    for name, value in values.items():
        if not callable(value):
            raise UserError(f"{name} = {shown(value)}: must be a function")


def texts_of(values: Any, name: str, example: str) -> tuple[str, ...]:
    """Return several texts.

    Args:
        example: one of them, for the message.

    Raises:
        UserError: it is one text instead of several, or they are something else.
    """
    try:
        several = None if isinstance(values, str | bytes) else tuple(values)
    except TypeError:
        several = None
    if several is None or not all(isinstance(value, str) for value in several):
        raise UserError(f"{name} = {shown(values)}: must be several texts, such as [{example!r}]")
    return several


def require_one_of(value: Any, name: str, known: Sequence[Any]) -> None:
    """Check that an argument is one of a few values.

    Raises:
        UserError: it is not; they are listed.
    """
    if not any(type(value) is type(one) and value == one for one in known):
        raise UserError(f"{name} = {shown(value)}: must be one of {', '.join(map(repr, known))}")
