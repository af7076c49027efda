"""Which records and columns a board shows: `--where` and `--columns`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

import pandas as pd

from mmbench.errors import UserError, typed, unknown_name
from mmbench.file_names import counted
from mmbench.leaderboard.records.refusals import COLUMN
from mmbench.name_lists import separated
from mmbench.tasks import TASKS

CONDITION = re.compile(r"\s*(\w+)\s*(!?=)(.*)", re.DOTALL)
UNKNOWN = "unknown"  # stands for a fact that a record does not have
# What a user calls a field, and the column of the tidy frame that has it.
FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "arm": "arm",
        "arch": "arch",
        "control": "control",
        "dataset": "dataset",
        "device": "device",
        "epochs": "pretrain_epochs",
        "framework": "framework",
        "image_size": "image_size",
        "masking": "masking",
        "method": "method",
        "precision": "pretrain_precision",
        "pretrain_data": "pretrain_data",
        "pretrain_seed": "pretraining_seed",
        "protocol": "protocol",
        "recipe": "pretrain_recipe",
        "seed": "transfer_seed",
        "split": "split",
        "task": "task",
    }
)


def select(frame: pd.DataFrame, where: Sequence[str] = (), columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return the records of a tidy frame that all conditions hold for, in the columns that are named.

    `attrs["warnings"]` counts what is left out, and `attrs["columns"]` is the order of the columns, as
    (task, dataset, protocol), where `columns` names any.

    Args:
        where: conditions such as "arch=resnet50", "task=knn,linear" or "arm!=random"; "unknown" stands for
            a fact that is not known, and a value with a comma in it is put in double quotes.
        columns: names of columns in their order: a task, a heading, a data set, a protocol with or without
            its version, or a metric; * and ? stand for any characters.

    Raises:
        UserError: a condition or name that nothing fits (near match named), or nothing is left.
    """
    if not where and not columns:
        return frame
    warnings = list(frame.attrs.get("warnings", ()))
    found = frame
    for condition in where:
        found = _where(found, condition)
    left_out = frame["file"].nunique() - found["file"].nunique()
    if where:
        words = " and ".join(map(typed, where))
        total = counted(int(frame["file"].nunique()), "record")
        warnings.append(f"Left out by --where {words}: {left_out} of {total}.")
    attrs = {name: value for name, value in frame.attrs.items() if name != "comparable"}
    if columns:
        found, order, dropped = _columns(found, columns)
        attrs["columns"] = order
        if dropped:
            names = "; ".join(f"{protocol} on {dataset}" for _, dataset, protocol in dropped)
            warnings.append(f"Left out by --columns: {counted(len(dropped), 'column')} ({names}).")
    found = found.copy()
    found.attrs = {**attrs, "warnings": tuple(warnings)}
    return found


def _where(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Return the rows that one condition holds for."""
    parts = CONDITION.fullmatch(condition)
    name, sign, listing = parts.groups() if parts else ("", "", "")
    try:
        values = [value.strip() for value in next(csv.reader([listing], skipinitialspace=True), [])]
    except csv.Error:  # a line break outside quotes
        values = []
    if not values or not all(values):
        raise UserError(f"--where {typed(condition)} is not a condition; write FIELD=VALUE, such as task=knn")
    if name not in FIELDS:
        raise unknown_name("field of --where", name, FIELDS)
    present = frame[FIELDS[name]].astype(object).map(_text)
    known = set(present.unique())
    for value in values:
        if value not in known:
            raise unknown_name(f"{name} in --where", value, known)
    chosen = present.isin(values)
    if sign == "!=":
        chosen = ~chosen
    if not chosen.any():
        raise UserError(f"--where {typed(condition)} leaves no record; there are {', '.join(sorted(known))}")
    return frame[chosen]


def _text(value: object) -> str:
    """Return a fact as a user writes it.

    >>> _text(True), _text(8), _text(None)
    ('yes', '8', 'unknown')
    """
    if value is None or value is pd.NA or value != value:
        return UNKNOWN
    return ("yes" if value else "no") if value is True or value is False else str(value)


def _columns(
    frame: pd.DataFrame, patterns: Sequence[str]
) -> tuple[pd.DataFrame, tuple[tuple[str, str, str], ...], list[tuple[str, str, str]]]:
    """Return the rows of the columns that are named, these columns in order, and the others."""
    names = {}
    primary = frame[frame["primary"]].drop_duplicates(COLUMN)
    for task, dataset, protocol, metric, config in primary[[*COLUMN, "metric", "config"]].itertuples(
        index=False, name=None
    ):
        words = [task, dataset, protocol, protocol.rpartition("@")[0], metric, _heading(task, config)]
        names[task, dataset, protocol] = [word.casefold() for word in words]

    def fitting_for(pattern: str) -> list[tuple[str, str, str]]:
        wanted = pattern.strip().casefold()
        return [key for key, words in sorted(names.items()) if any(fnmatchcase(w, wanted) for w in words)]

    order: list[tuple[str, str, str]] = []
    for pattern in separated(patterns, lambda text: bool(fitting_for(text))):
        fitting = fitting_for(pattern)
        if not fitting:
            raise unknown_name("column", pattern, {word for words in names.values() for word in words})
        order += [key for key in fitting if key not in order]
    chosen = pd.MultiIndex.from_frame(frame[COLUMN]).isin(order)
    return frame[chosen], tuple(order), [key for key in sorted(names) if key not in order]


def _heading(task: str, config: str) -> str:
    """Return the heading of a column as the task declares it."""
    return TASKS.get(task).column.of(json.loads(config))[0] if task in TASKS.names() else task
