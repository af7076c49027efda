"""The rows of a board: what is known about their weights, what they cost, and their overall rank."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Set
from typing import Any

import pandas as pd

from mmbench.leaderboard.board import ColumnKey, Row
from mmbench.leaderboard.records.frame import lines_of
from mmbench.leaderboard.statistics.ranking import RankSummary

# Facts that the records of a row agree on, or do not state: Row's field -> column of the frame.
FACTS = {
    "arm": "arm",
    "control": "control",
    "method": "method",
    "masking": "masking",
    "framework": "framework",
    "recipe": "pretrain_recipe",
    "pretrain_data": "pretrain_data",
    "pretrain_fingerprint": "pretrain_fingerprint",
    "precision": "pretrain_precision",
    "epochs": "pretrain_epochs",
    "image_size": "image_size",
    "high_pass": "high_pass",
}
COSTS = ("pretrain_seconds", "pretrain_compute", "pretrain_compute_kind")  # of one pretraining
OTHERS = (
    "row",
    "arch",
    "weights",
    "pretraining_seed",
    *COSTS,
    "wall_seconds",
    "compute",
    "compute_kind",
    "images_per_second",
)
Records = list[dict[str, Any]]


def rows_of(
    records: pd.DataFrame,
    measured: Mapping[str, Set[ColumnKey]],
    columns: Set[ColumnKey],
    ranks: Mapping[str, RankSummary],
    baseline: str | None,
) -> tuple[Row, ...]:
    """Return the rows of a board: ranked ones by their mean rank, then the others by name.

    Args:
        records: the lines of the frame that hold primary values.
        measured: by row: its columns.
        columns: all columns of the board.
        ranks: by the name of each ranked row.
    """
    by_row: dict[str, Records] = {}
    for record in lines_of(records, [*FACTS.values(), *OTHERS]):
        by_row.setdefault(record["row"], []).append(record)
    rows = [
        _row(name, of_row, measured[name] >= columns, ranks.get(name), name == baseline)
        for name, of_row in by_row.items()
    ]
    rows.sort(key=lambda row: (row.mean_rank is None, row.mean_rank or 0, row.name))
    return tuple(rows)


def _row(name: str, records: Records, complete: bool, rank: RankSummary | None, baseline: bool) -> Row:
    facts = {field: _first(record[column] for record in records) for field, column in FACTS.items()}
    pretrainings = _pretrainings(records)
    pretrain_compute, compute_kind = _mean_compute(pretrainings)
    transfer_compute, transfer_kind = _total_compute(records)
    return Row(
        name=name,
        baseline=baseline,
        complete=complete,
        mean_rank=None if rank is None else rank.mean,
        rank_interval=None if rank is None else rank.interval,
        p_best=None if rank is None else rank.p_best,
        arch=" and ".join(sorted({record["arch"] for record in records})),
        pretraining_seeds=tuple(sorted({int(seed) for seed in _known(records, "pretraining_seed")})),
        weights=len(pretrainings),
        pretrain_seconds=_mean(_known(pretrainings, "pretrain_seconds")),
        pretrain_compute=pretrain_compute,
        compute_kind=compute_kind,
        transfer_seconds=float(sum(record["wall_seconds"] for record in records)),
        transfer_compute=transfer_compute,
        transfer_compute_kind=transfer_kind,
        images_per_second=_median(_known(records, "images_per_second")),
        **{**facts, "control": bool(facts["control"])},
    )


def _pretrainings(records: Records) -> Records:
    """Return what each pretraining cost: of its records the first that states wall or computing time."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        cost = found.setdefault(record["weights"], dict.fromkeys(COSTS))
        for names in (COSTS[:1], COSTS[1:]):  # computing time and its kind are of one record
            if cost[names[0]] is None:
                cost.update((name, record[name]) for name in names)
    return list(found.values())


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)


def _known(records: Records, name: str) -> list[Any]:
    return [record[name] for record in records if record[name] is not None]


def _mean(values: list[float]) -> float | None:
    return float(statistics.fmean(values)) if values else None


def _median(values: list[float]) -> float | None:
    return float(statistics.median(values)) if values else None


def _mean_compute(pretrainings: Records) -> tuple[float | None, str | None]:
    """Return mean and kind of the computing time of a pretraining; None where some used CPUs, others GPUs."""
    kinds = set(_known(pretrainings, "pretrain_compute_kind"))
    if len(kinds) != 1:
        return None, None
    return _mean(_known(pretrainings, "pretrain_compute")), kinds.pop()


def _total_compute(records: Records) -> tuple[float | None, str | None]:
    """Return sum and kind of the computing time of all runs; None where one does not state it or is mixed."""
    kinds = {record["compute_kind"] for record in records}
    if len(kinds) != 1 or None in kinds:
        return None, None
    return float(sum(record["compute"] for record in records)), kinds.pop()
