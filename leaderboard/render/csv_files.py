"""Board and records to CSV: tidy, full precision, secondary metrics included."""

from __future__ import annotations

import pandas as pd

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.records.refusals import COLUMN
from mmbench.leaderboard.statistics.summaries import summarise, welch_interval


def scores_table(board: Board, frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per arm, column and metric (primary and secondary), in the order of the board.

    `rank` is there for primary metrics only, which alone rank.
    """
    order = {row.name: place for place, row in enumerate(board.rows)}
    lines: list[dict[str, object]] = []
    for column in board.columns:
        in_column = frame[(frame[COLUMN] == [column.task, column.dataset, column.protocol]).all(axis=1)]
        for metric, of_metric in in_column.groupby("metric"):
            by_arm = {str(arm): runs for arm, runs in of_metric.groupby("row")}
            for arm in sorted(by_arm, key=order.__getitem__):
                runs, summary = by_arm[arm], summarise(by_arm[arm])
                primary = metric == column.metric
                line: dict[str, object] = {
                    "kind": "measured",
                    "arm": arm,
                    "task": column.task,
                    "dataset": column.dataset,
                    "fingerprint": column.fingerprint,
                    "protocol": column.protocol,
                    "metric": metric,
                    "primary": primary,
                    "unit": runs["unit"].iloc[0],
                    "higher_is_better": bool(runs["higher_is_better"].iloc[0]),
                    "mean": summary.mean,
                    "std": summary.std,
                    "runs": summary.runs,
                    "pretrainings": summary.pretrainings,
                    "rank": board.cells[arm, column.key].rank if primary else None,
                    "baseline": board.baseline,
                    "delta": None,
                    "ci95_low": None,
                    "ci95_high": None,
                    "ci95_basis": None,
                }
                if board.baseline in by_arm and arm != board.baseline:
                    line["delta"] = summary.mean - summarise(by_arm[board.baseline]).mean
                    interval = welch_interval(runs, by_arm[board.baseline])
                    if interval is not None:
                        line |= {
                            "ci95_low": interval.low,
                            "ci95_high": interval.high,
                            "ci95_basis": interval.basis,
                        }
                lines.append(line)
    return pd.DataFrame(lines)


def runs_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return every record's every metric, in a stable order, with what is known about its run."""
    keys = ["task", "dataset", "protocol", "arm", "pretraining_seed", "transfer_seed", "metric"]
    return frame.sort_values([*keys, "file"]).reset_index(drop=True)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV; numbers keep the digits that read back to the same float."""
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text
