"""Two snapshots to a list of changes, and which of them change what the board says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from mmbench.file_names import counted
from mmbench.formatting import Unit
from mmbench.leaderboard.board import ColumnKey
from mmbench.leaderboard.changes.everything import (
    NOT_COMPARED,
    NUMBERS_OF_A_ROW,
    column_words,
    equal,
    notes,
    other_numbers,
)
from mmbench.leaderboard.changes.snapshot import Snapshot
from mmbench.leaderboard.statistics.differences import Difference, difference_of, holm
from mmbench.leaderboard.statistics.summaries import SIGNIFICANCE

# What a run is known by; its value belongs to it, so that a run measured anew counts as another.
RUN = ("weights", "transfer_seed", "labels", "value")
# A cell whose runs all agree in these has not changed: older records know weights by the digest of their
# file, and files of the same tensors may differ.
MEASURED = ("pretraining_seed", "transfer_seed", "labels", "value")


@dataclass(frozen=True)
class CellChange:
    """A cell whose runs differ.

    Attributes:
        unit: of the metric, as the second board has it.
        before, after: means; n runs each.
        added, removed: numbers of runs.
        difference: of the runs that were added to those that they are compared with, in the metric's unit.
        p: two-sided p value of it, adjusted by Holm over the changed cells; None where it cannot be judged.
        basis: which runs were compared.
        reason: why it cannot be judged; None where it can.
    """

    row: str
    column: ColumnKey
    unit: Unit
    before: float
    after: float
    n: tuple[int, int]
    added: int
    removed: int
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    basis: str
    reason: str | None

    @property
    def beyond_chance(self) -> bool | None:
        """Whether the runs differ beyond chance; None where that cannot be judged."""
        return None if self.p is None else self.p < SIGNIFICANCE


@dataclass(frozen=True)
class Changes:
    """What differs between two boards.

    Attributes:
        conclusions: what the second board says otherwise: verdict, differences to the baseline, best rows.
        facts: rows and columns that came or went, settings, data, versions, caveats.
        cells: cells whose runs differ.
        numbers: other numbers that differ: other metrics, intervals, ranks, costs.
    """

    conclusions: tuple[str, ...]
    facts: tuple[str, ...]
    cells: tuple[CellChange, ...]
    numbers: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.conclusions or self.facts or self.cells or self.numbers)


def compare(old: Snapshot, new: Snapshot) -> Changes:
    """Return what differs between two boards: all that they hold, but for `NOT_COMPARED`."""
    cells = tuple(_cells(old, new))
    return Changes(
        tuple(_conclusions(old, new)),
        (*_facts(old, new), *notes(old, new)),
        cells,
        tuple(other_numbers(old, new, {(cell.row, cell.column) for cell in cells})),
    )


def _facts(old: Snapshot, new: Snapshot) -> Iterator[str]:
    if old.baseline != new.baseline:
        yield f"baseline: {old.baseline or 'none'} -> {new.baseline or 'none'}"
    sides: tuple[tuple[str, Mapping[Any, Any], Mapping[Any, Any]], ...] = (
        ("row", old.rows, new.rows),
        ("column", old.columns, new.columns),
    )
    aside = set(NUMBERS_OF_A_ROW) if old.baseline == new.baseline else {*NUMBERS_OF_A_ROW, "baseline"}
    for kind, before, after in sides:
        for key in (key for key in before if key not in after):
            yield f"{kind} {_named(key)}: gone"
        for key in (key for key in after if key not in before):
            yield f"{kind} {_named(key)}: new"
        for key in (key for key in before if key in after):
            for name in dict.fromkeys((*before[key], *after[key])):
                one, other = before[key].get(name), after[key].get(name)
                if name not in aside and f"{kind}s.{name}" not in NOT_COMPARED and not equal(one, other):
                    yield f"{kind} {_named(key)}: {_difference(name, one, other)}"
    shared = [key for key in old.cells if key[0] in new.rows and key[1] in new.columns]
    for row, column in shared:
        if (row, column) not in new.cells:
            yield f"cell {row} in {_named(column)}: gone"
    for row, column in new.cells:
        if (row, column) not in old.cells and row in old.rows and column in old.columns:
            yield f"cell {row} in {_named(column)}: new"
    both = [key for key in old.cells if key in new.cells]
    if again := [len(new.cells[key]["runs"]) for key in both if _other_digests(key, old, new)]:
        runs = f"{counted(sum(again), 'run')} in {counted(len(again), 'cell')}"
        yield f"weights: {runs} with other digests of their weights, but equal seeds, labels and values"
    for what in dict.fromkeys((*old.environment, *new.environment)):
        one, other = old.environment.get(what, ()), new.environment.get(what, ())
        if one != other:
            yield f"measured with {what}: {'; '.join(one) or 'unknown'} -> {'; '.join(other) or 'unknown'}"


def _difference(name: str, old: Any, new: Any) -> str:
    """Return a fact before and after; of settings only those that differ."""
    if name in ("config", "split_sizes") and None not in (old, new):
        before, after = json.loads(old), json.loads(new)
        changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        return "; ".join(f"{key}: {before.get(key)!r} -> {after.get(key)!r}" for key in changed) or "order"
    shown = (
        value[:12] if name.endswith("fingerprint") and isinstance(value, str) else value
        for value in (old, new)
    )
    return f"{name.replace('_', ' ')}: {' -> '.join('unknown' if x is None else str(x) for x in shown)}"


def _named(key: str | ColumnKey) -> str:
    return key if isinstance(key, str) else column_words(key)


def _conclusions(old: Snapshot, new: Snapshot) -> Iterator[str]:
    if old.baseline == new.baseline and old.verdict != new.verdict:
        yield f"verdict: {old.verdict or 'none'} -> {new.verdict or 'none'}"
    for key in (key for key in old.cells if key in new.cells):
        where = f"{key[0]} in {column_words(key[1])}"
        before, after = old.cells[key], new.cells[key]
        if old.baseline == new.baseline and (one := _side(before)) != (other := _side(after)):
            yield f"{where}: {one} -> {other} than {new.baseline}"
        if before["best"] != after["best"]:
            yield f"{where}: {'no longer' if before['best'] else 'now'} among the best"
    order = [[name for name in board.rows if name in old.rows and name in new.rows] for board in (old, new)]
    if order[0] != order[1]:
        yield f"order of rows: {', '.join(order[0])} -> {', '.join(order[1])}"


def _side(cell: Mapping[str, Any]) -> str:
    """Return on which side of the baseline a cell is, beyond chance."""
    delta = cell["delta"]
    if delta is None or delta.get("adjusted_p") is None or delta["adjusted_p"] >= SIGNIFICANCE:
        return "not distinguishable"
    return "better" if delta["better"] else "worse"


def _cells(old: Snapshot, new: Snapshot) -> list[CellChange]:
    """Return the changed cells, the p values of their differences adjusted by Holm."""
    shared = [key for key in old.cells if key in new.cells]
    found = [change for key in shared if (change := _cell(key, old, new)) is not None]
    ps = iter(holm([change.p for change in found if change.p is not None]))
    return [change if change.p is None else replace(change, p=next(ps)) for change in found]


def _cell(key: tuple[str, ColumnKey], old: Snapshot, new: Snapshot) -> CellChange | None:
    """Compare the runs that only one board has; where one has all of the other's, these with the others.

    Runs that both boards have are never on both sides, as they would make the two look alike.
    """
    before, after = old.cells[key], new.cells[key]
    ours, theirs = (_counted(cell, RUN) for cell in (before, after))
    if ours == theirs or _other_digests(key, old, new):
        return None
    removed, added, common = ours - theirs, theirs - ours, ours & theirs
    if added and removed:
        sides, basis = (added, removed), "added runs against those that went"
    elif added:
        sides, basis = (added, common), "added runs against those that were there"
    else:
        sides, basis = (common, removed), "runs that stayed against those that went"
    runs = [*before["runs"], *after["runs"]]
    column = new.columns[key[1]]
    difference, reason = _judged(runs, sides, column)
    interval = None if difference is None else difference.interval
    return CellChange(
        row=key[0],
        column=key[1],
        unit=column["unit"],
        before=before["summary"]["mean"],
        after=after["summary"]["mean"],
        n=(before["summary"]["runs"], after["summary"]["runs"]),
        added=added.total(),
        removed=removed.total(),
        difference=None if difference is None else difference.value,
        interval=None if interval is None else (interval.low, interval.high),
        p=None if difference is None else difference.p,
        basis=basis,
        reason=reason,
    )


def _judged(
    runs: Sequence[dict[str, Any]], sides: tuple[Counter[str], Counter[str]], column: Mapping[str, Any]
) -> tuple[Difference | None, str | None]:
    """Return the difference between two sets of runs, and why it cannot be judged where it cannot."""
    by_identity = {_identity(run): run for run in runs}
    frames = []
    for side in sides:
        chosen = [by_identity[identity] for identity in sorted(side.elements())]
        if not chosen:
            return None, "no runs to compare with"
        frame = pd.DataFrame(chosen).assign(unit=column["unit"], images=column["images"], path=None)
        frame["metric"] = column["metric"]
        bounds = [run.get("interval") or (None, None) for run in chosen]
        frame[["interval_low", "interval_high"]] = pd.DataFrame(bounds, index=frame.index, dtype=float)
        frame["pretraining_seed"] = frame["pretraining_seed"].astype("Int64")
        frame["outcomes"] = None
        frames.append(frame)
    difference = difference_of(*frames)
    return difference, difference.method.removeprefix("none: ") if difference.p is None else None


def _other_digests(key: tuple[str, ColumnKey], old: Snapshot, new: Snapshot) -> bool:
    """Whether the runs of a cell differ, but in the digests of their weights alone."""
    before, after = old.cells[key], new.cells[key]
    if _counted(before, RUN) == _counted(after, RUN):
        return False
    return _counted(before, MEASURED) == _counted(after, MEASURED)


def _counted(cell: Mapping[str, Any], names: Sequence[str]) -> Counter[str]:
    return Counter(_identity(run, names) for run in cell["runs"])


def _identity(run: Mapping[str, Any], names: Sequence[str] = RUN) -> str:
    return json.dumps([run.get(name) for name in names])
