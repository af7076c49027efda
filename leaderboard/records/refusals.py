"""Records that must not share a board: each error is one line that names the files to move."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from mmbench.errors import UserError, one_line, shown
from mmbench.leaderboard.records.codes import codes_of, groups_of, with_two
from mmbench.leaderboard.records.comparability import fields_with
from mmbench.leaderboard.records.effects import COLUMN as COLUMN_KEY
from mmbench.leaderboard.records.effects import METRIC, Effect, Field

COLUMN = list(COLUMN_KEY)
NAMED_FILES = 3
LONGEST_LIST = 200  # characters of the values that differ


def refuse_mixtures(frame: pd.DataFrame) -> None:
    """Check that the records of a tidy frame can stand on one board, by the table of comparability.

    Raises:
        UserError: records differ in a field that must be equal, such as two versions of one protocol, or
            two data fingerprints in one column.
    """
    records = frame[frame["primary"]]
    groups = {}
    for field in fields_with(Effect.REFUSED):
        compared = frame if field.group == METRIC else records
        if field.group not in groups:
            groups[field.group] = groups_of(compared, field.group)
        mixed = with_two(groups[field.group], codes_of(compared[str(field.fact)])[0])
        if len(mixed):
            raise _refusal(compared[groups[field.group] == mixed[0]], field)


def _refusal(group: pd.DataFrame, field: Field) -> UserError:
    """Return the error for records that differ in a field; the rarer or else older ones are to go."""
    values = group[str(field.fact)]
    if field.part == "version":
        newest = values.max()
        listing = ", ".join(f"@{version}" for version in sorted(values.unique()))
        return UserError(
            f"protocol {group['recipe'].iloc[0]} is here in versions {listing}, which do not compare; "
            + advice(group.loc[values < newest, "file"], f"to rank by @{newest}")
        )
    known = values.notna()
    votes = group[known].groupby(values[known].map(str)).agg(n=("file", "size"), newest=("created", "max"))
    keep = votes.sort_values(["n", "newest"]).index[-1]
    return UserError(
        f"{_where(group, field)} has {len(votes)} different {field.words} ({_listing(group, field)}), "
        "which do not compare; "
        + advice(group.loc[known & (values.map(str) != keep), "file"], "to keep the rest")
    )


def _where(group: pd.DataFrame, field: Field) -> str:
    first = group.iloc[0]
    metric = f"metric {first['metric']} of " if field.group == METRIC else ""
    return f"{metric}{first['protocol']} on {first['dataset']}"


def _listing(group: pd.DataFrame, field: Field) -> str:
    """Return the values that differ; of settings those that do."""
    if field.fact != "config_digest":
        values = sorted({str(value)[:60] for value in group[str(field.fact)].dropna()})
        short = [value[:12] if field.fact == "fingerprint" else value for value in values]
        return one_line(", ".join(short), LONGEST_LIST)
    configs = [json.loads(config) for config in group["config"].unique()]
    names = sorted(set[str]().union(*configs))
    found = []
    for name in names:
        different = {json.dumps(config.get(name), sort_keys=True) for config in configs}
        if len(different) > 1:
            found.append(
                f"{name}: {' or '.join(shown(json.loads(value), 40) for value in sorted(different))}"
            )
    return one_line("; ".join(found), LONGEST_LIST)


def refuse_repeats(frame: pd.DataFrame) -> None:
    """Check that no run counts twice, and that each row's weights are different pretrainings of one kind.

    Raises:
        UserError: one run is there twice, or copied under another seed; one pretraining seed has two
            weights in a cell; or a row has several weights of which no seed is known.
    """
    records = frame[frame["primary"]]
    cell = groups_of(records, ["row", *COLUMN])
    keyed = records.assign(cell=cell)
    for columns, words in (
        (["cell", "weights", "transfer_seed"], "holds one run twice; "),
        (["cell", "value", "wall_seconds", "created"], "holds one record again under another seed; "),
    ):
        if keyed.duplicated(columns).any():
            # The newest stays: a suite whose record is moved out would only measure it again.
            newest_first = keyed.sort_values("created", ascending=False, kind="stable")
            again = newest_first[newest_first.duplicated(columns)]
            first = again.iloc[0]
            same = again[again["cell"] == first["cell"]]
            raise UserError(f"{_cell(first)} {words}" + advice(same["file"], "to count it once"))
    weights = codes_of(records["weights"])[0]
    seeds = records["pretraining_seed"]
    seeded = seeds.notna().to_numpy()
    by_seed = groups_of(records, ["row", *COLUMN, "pretraining_seed"])
    mixed = with_two(by_seed[seeded], weights[seeded])
    if len(mixed):
        group = records[(by_seed == mixed[0]) & seeded]
        newest = group.sort_values("created")["weights"].iloc[-1]
        raise UserError(
            f"{_cell(group.iloc[0])} has {group['weights'].nunique()} different weights of pretraining seed "
            f"{group['pretraining_seed'].iloc[0]}, and a seed counts once; "
            + advice(group.loc[group["weights"] != newest, "file"], "to keep the newest")
        )
    by_row = np.where(records["control"].to_numpy(bool), cell, -1 - groups_of(records, ["row"]))
    by_row = codes_of(pd.Series(by_row))[0]
    mixed = with_two(by_row[~seeded], weights[~seeded])
    if len(mixed):
        group = records[(by_row == mixed[0]) & ~seeded]
        newest = group.sort_values("created")["weights"].iloc[-1]
        raise UserError(
            f"row {group['row'].iloc[0]} has {group['weights'].nunique()} checkpoints whose pretraining seed "
            "is not known, which may be of different methods; give each its own row by `mmbench transfer "
            "--arm NAME`, or " + advice(group.loc[group["weights"] != newest, "file"], "to keep the newest")
        )


def _cell(record: pd.Series) -> str:
    return f"{record['row']} in {record['protocol']} on {record['dataset']}"


def advice(files: Iterable[str], purpose: str) -> str:
    """Return the advice to move files out of the results folder."""
    names: Sequence[str] = sorted(set(files))
    more = f" and {len(names) - NAMED_FILES} more" if len(names) > NAMED_FILES else ""
    return f"{purpose}, move these out of the results folder: {', '.join(names[:NAMED_FILES])}{more}"
