"""What benchmarks found, as they print it beside its goals and write it for other programs."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

# Name -> {"value": number, "goal": number or None, "better": "higher" or "lower"}.
Row = dict[str, object]
Rows = dict[str, Row]


def row(value: float, goal: float | None = None, better: str = "higher") -> Row:
    return {"value": value, "goal": goal, "better": better}


def ratio(over: list[float], under: list[float]) -> float:
    """Return the median ratio of times that were taken in turns."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def report(rows: Rows, place: Path | None, decimals: int = 2) -> None:
    """Print every row with its goal, and write them to the JSON file `place` if there is one."""
    widest = max(map(len, rows), default=0)
    for name, row in rows.items():
        bound = "at least" if row["better"] == "higher" else "at most"
        goal = "no goal" if row["goal"] is None else f"goal: {bound} {row['goal']}"
        print(f"{name:{widest}} {row['value']:8.{decimals}f}   {goal}")
    if place is not None:
        place.write_text(json.dumps(rows, indent=2) + "\n")
