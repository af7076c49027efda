"""Columns of a frame as whole numbers, with which large frames are compared quickly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Codes = npt.NDArray[np.int64]
ABSENT = -1


def codes_of(values: pd.Series) -> tuple[Codes, list[object]]:
    """Return a number per value, -1 for absent ones, and the value that each number stands for."""
    codes, different = pd.factorize(values)
    return codes.astype(np.int64), list(different)


def together(columns: Sequence[Codes]) -> Codes:
    """Return a number per row, equal where all columns are equal; numbered in the order of the rows."""
    joint = columns[0]
    for column in columns[1:]:
        joint = pd.factorize(joint * (int(column.max(initial=ABSENT)) + 2) + column + 1)[0].astype(np.int64)
    return pd.factorize(joint)[0].astype(np.int64)


def groups_of(frame: pd.DataFrame, names: Sequence[str]) -> Codes:
    """Return a number per row, equal for rows with equal values in all of the columns `names`."""
    return together([codes_of(frame[name])[0] for name in names])


def with_two(groups: Codes, values: Codes) -> Codes:
    """Return the groups in which more than one value occurs, absent ones aside, in order."""
    known = values != ABSENT
    width = int(values.max(initial=0)) + 1
    pairs = np.unique(groups[known] * width + values[known])
    found, count = np.unique(pairs // width, return_counts=True)
    return found[count > 1]
