"""Board and records as tidy, typed tables with full precision: what CSV and Parquet files hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import pandas as pd

from mmbench.leaderboard.board import Board, Delta
from mmbench.leaderboard.render.layout import ROW_COLUMNS, Value, row_columns
from mmbench.leaderboard.statistics.summaries import Interval, Summary

Kind = Literal["text", "number", "integer", "flag"]
DTYPES: Mapping[Kind, str] = {"text": "object", "number": "float64", "integer": "Int64", "flag": "boolean"}
PER_METRIC = "see the column unit"
# Columns that do not hold text, of scores and of runs.
SCORE_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("primary", "best", "paired", "higher_is_better"), "flag"),
    **dict.fromkeys(("runs", "pretrainings"), "integer"),
    **dict.fromkeys(("mean", "std", "mean_low", "mean_high", "rank", "delta", "delta_low"), "number"),
    **dict.fromkeys(("delta_high", "p", "adjusted_p"), "number"),
}
RUN_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("control", "primary", "higher_is_better", "git_dirty"), "flag"),
    **dict.fromkeys(("version", "transfer_seed", "pretraining_seed", "pretrain_epochs"), "integer"),
    **dict.fromkeys(("image_size", "images", "cpu_count", "threads"), "integer"),
    **dict.fromkeys(("value", "interval_low", "interval_high", "effective_lr"), "number"),
    **dict.fromkeys(("pretrain_seconds", "pretrain_compute", "wall_seconds", "compute"), "number"),
    "images_per_second": "number",
}
UNITS: Mapping[str, str] = {
    **dict.fromkeys(("mean", "std", "mean_low", "mean_high", "delta", "delta_low"), PER_METRIC),
    **dict.fromkeys(("delta_high", "value", "interval_low", "interval_high"), PER_METRIC),
    **dict.fromkeys(("pretrain_seconds", "wall_seconds"), "seconds of wall time"),
    **dict.fromkeys(("pretrain_compute", "compute"), "seconds of computing time"),
    "image_size": "pixels",
    "images": "images or instances",
    "images_per_second": "images per second",
    **{f"row_{column.name}": column.unit for column in ROW_COLUMNS if column.unit},
}
MACHINE_ONLY = ("path",)  # columns of the frame that say where records lie on this machine


def scores_table(board: Board) -> pd.DataFrame:
    """Return one line per row, column and metric (primary and secondary), in the order of the board.

    Ranks, the mark of the best and adjusted p values are there for primary metrics only. What the table says
    about a row beside its scores is repeated on each of its lines, in columns that begin with "row_".
    """
    about = row_columns(board)
    lines: list[dict[str, Value]] = []
    for column in board.columns:
        for row in board.rows:
            cell = board.cell(row, column)
            if cell is None:
                continue
            first: dict[str, Value] = {
                "kind": "measured",
                "row": row.name,
                "arm": row.arm,
                "task": column.task,
                "dataset": column.dataset,
                "fingerprint": column.fingerprint,
                "split": column.split,
                "protocol": column.protocol,
            }
            last: dict[str, Value] = {"baseline": board.baseline}
            last |= {f"row_{entry.name}": entry.value(row) for entry in about}
            primary = _metric(column.metric, column.unit, column.higher_is_better, cell.summary, cell.delta)
            lines.append(first | primary | {"primary": True, "rank": cell.rank, "best": cell.best} | last)
            for other in board.secondary.get((row.name, column.key), ()):
                values = _metric(other.metric, other.unit, other.higher_is_better, other.summary, other.delta)
                lines.append(first | values | {"primary": False, "rank": None, "best": None} | last)
    kinds = {
        **SCORE_KINDS,
        **{f"row_{entry.name}": _kind(entry.value(row) for row in board.rows) for entry in about},
    }
    return _typed(pd.DataFrame(lines), kinds)


def _metric(
    metric: str, unit: str, higher_is_better: bool, summary: Summary, delta: Delta | None
) -> dict[str, Value]:
    interval = None if delta is None else delta.interval
    return {
        "metric": metric,
        "primary": None,
        "unit": unit,
        "higher_is_better": higher_is_better,
        "mean": summary.mean,
        "std": summary.std,
        "runs": summary.runs,
        "pretrainings": summary.pretrainings,
        **_interval("mean", summary.interval),
        "rank": None,
        "best": None,
        "delta": None if delta is None else delta.value,
        **_interval("delta", interval),
        "p": None if delta is None else delta.p,
        "adjusted_p": None if delta is None else delta.adjusted_p,
        "method": None if delta is None else delta.method,
        "paired": None if delta is None else delta.paired,
    }


def _interval(what: str, interval: Interval | None) -> dict[str, Value]:
    return {
        f"{what}_low": None if interval is None else interval.low,
        f"{what}_high": None if interval is None else interval.high,
        f"{what}_basis": None if interval is None else interval.basis,
    }


def runs_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return every record's every metric, in a stable order, with what is known about its run."""
    keys = ["task", "dataset", "protocol", "row", "pretraining_seed", "transfer_seed", "metric"]
    shown = frame.drop(columns=[name for name in MACHINE_ONLY if name in frame])
    shown.attrs = {}
    return _typed(shown.sort_values([*keys, "file"]).reset_index(drop=True), RUN_KINDS)


def _kind(values: Iterable[Value]) -> Kind:
    """Return what a column holds: the first kind that fits all values that are known."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return "flag"
    if all(isinstance(value, int) for value in known):
        return "integer"
    return "number" if all(isinstance(value, int | float) for value in known) else "text"


def _typed(table: pd.DataFrame, kinds: Mapping[str, Kind]) -> pd.DataFrame:
    """Return the table with the types of `kinds`, also where no value is known; others keep their own."""
    return table.astype({name: DTYPES[kind] for name, kind in kinds.items() if name in table})
