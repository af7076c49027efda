"""Records that must not share a board: each error is one line that names the files to move."""

from __future__ import annotations

import pandas as pd

from mmbench.errors import UserError

NAMED_FILES = 3
# Facts that one arm must have once per column: else its mean would be over two different things.
ARM_FACTS = {
    "arch": "architectures",
    "method": "methods",
    "masking": "maskings",
    "pretrain_data": "pretraining data sets",
    "pretrain_epochs": "numbers of pretraining epochs",
    "preprocessing": "preprocessings",
}
# Facts that a column must have once: else its rows were not measured alike.
COLUMN_FACTS = {
    "fingerprint": "data fingerprints",
    "config_digest": "settings",
    "split": "evaluated splits",
}
METRIC_FACTS = {"higher_is_better": "directions", "unit": "units"}
COLUMN = ["task", "dataset", "protocol"]


def refuse_mixtures(frame: pd.DataFrame) -> None:
    """Check that the records of a tidy frame can stand on one board.

    Raises:
        UserError: one protocol in two versions; one column with two data fingerprints, settings, splits
            or primary metrics; one arm with two kinds of weights in a column; one run measured twice.
    """
    records = frame[frame["primary"]]
    for recipe, group in records.groupby("recipe"):
        if group["version"].nunique() > 1:
            newest = group["version"].max()
            versions = ", ".join(f"@{version}" for version in sorted(group["version"].unique()))
            old = group[group["version"] < newest]
            raise UserError(
                f"protocol {recipe} is here in versions {versions}, which do not compare; "
                + _advice(old, f"to rank by @{newest}")
            )
    for (_, dataset, protocol), group in records.groupby(COLUMN):
        where = f"{protocol} on {dataset}"
        _refuse_two(group, {**COLUMN_FACTS, "metric": "primary metrics"}, where)
        for arm, rows in group.groupby("row"):
            _refuse_two(rows, ARM_FACTS, f"arm {arm} in {where}")
            _refuse_repeats(rows, f"arm {arm} in {where}")
    for (_, dataset, protocol, metric), group in frame.groupby([*COLUMN, "metric"]):
        _refuse_two(group, METRIC_FACTS, f"metric {metric} of {protocol} on {dataset}")


def _refuse_two(group: pd.DataFrame, facts: dict[str, str], where: str) -> None:
    """Refuse a group in which one of `facts` has two values; the rarer or else older one is to go."""
    for column, words in facts.items():
        values = group[column].map(str)
        if values.nunique() == 1:
            continue
        votes = group.assign(fact=values).groupby("fact").agg(n=("file", "size"), newest=("created", "max"))
        keep = votes.sort_values(["n", "newest"]).index[-1]
        shown = ", ".join(sorted(value[:12] for value in values.unique()))
        if column == "preprocessing":
            shown = str(values.nunique())
        raise UserError(
            f"{where} has {values.nunique()} different {words} ({shown}), which do not compare; "
            + _advice(group[values != keep], "to keep the rest")
        )


def _refuse_repeats(rows: pd.DataFrame, where: str) -> None:
    """Refuse two weights of one pretraining seed: they are one run measured twice, not two seeds."""
    seeded = rows[rows["pretraining_seed"].notna()]
    for seed, group in seeded.groupby(seeded["pretraining_seed"].astype(int)):
        if group["weights"].nunique() > 1:
            newest = group.sort_values("created")["weights"].iloc[-1]
            raise UserError(
                f"{where} has {group['weights'].nunique()} different weights of pretraining seed {seed}, "
                "and a seed counts once; " + _advice(group[group["weights"] != newest], "to keep the newest")
            )
    repeated = rows.duplicated(["weights", "transfer_seed"])
    if repeated.any():
        raise UserError(f"{where} holds one run twice; " + _advice(rows[repeated], "to count it once"))


def _advice(rows: pd.DataFrame, purpose: str) -> str:
    files = sorted(rows["file"].unique())
    more = f" and {len(files) - NAMED_FILES} more" if len(files) > NAMED_FILES else ""
    return f"{purpose}, move these out of the results folder: {', '.join(files[:NAMED_FILES])}{more}"
