"""Caveats of a board."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from mmbench.file_names import counted
from mmbench.formatting import rounded
from mmbench.leaderboard.board import Cell, Column, ColumnKey, Ranking, Row
from mmbench.leaderboard.render.wording import named, seconds_words
from mmbench.leaderboard.statistics.summaries import SIGNIFICANCE
from mmbench.leaderboard.verdict import tally, why_untested

UNEQUAL_TIME = 1.1  # pretraining times further apart than this factor are worth a warning
UNKNOWN_EPOCHS = "The pretraining epochs of the arms are unknown"


def footnotes(
    rows: tuple[Row, ...],
    columns: tuple[Column, ...],
    cells: dict[tuple[str, ColumnKey], Cell],
    baseline: str | None,
    frame: pd.DataFrame,
    ranking: Ranking,
) -> tuple[str, ...]:
    """Return the caveats of a board, the gravest first.

    Args:
        frame: of all records; its attributes "warnings" and "skipped" hold what reading and comparing found.
    """
    records = frame[frame["primary"]]
    notes = [
        _budgets(rows),
        _architectures(rows),
        *notes_of_reading(frame),
        *_single_runs(cells),
        *_differences(rows, cells, baseline),
        _ranks(rows, ranking),
        _incomplete(rows, columns, cells),
        *_times(rows, records),
        _filtered(rows),
        _uncommitted(records),
    ]
    return tuple(note for note in notes if note)


def notes_of_reading(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return what reading, choosing and comparing records found: reservations, and what was left out."""
    skipped = frame.attrs.get("skipped", ())
    files = (f"{counted(len(skipped), 'file')} left out: {'; '.join(skipped)}.",) if skipped else ()
    return (*frame.attrs.get("warnings", ()), *files)


def _single_runs(cells: dict[tuple[str, ColumnKey], Cell]) -> Iterator[str]:
    single = [cell for cell in cells.values() if cell.summary.runs == 1]
    if single:
        yield (
            f"{len(single)} of {len(cells)} cells hold a single run (n=1): how much another pretraining "
            "would differ is unknown, and none of them is marked as best."
        )


def _differences(
    rows: tuple[Row, ...], cells: dict[tuple[str, ColumnKey], Cell], baseline: str | None
) -> Iterator[str]:
    """Say how many differences there are, how many are beyond chance, and which have no interval and why."""
    if baseline is None:
        return
    every = [cell.delta for cell in cells.values() if cell.delta is not None]
    pretrained = {row.name for row in rows if not row.control}
    deltas = [cell.delta for (row, _), cell in cells.items() if cell.delta is not None and row in pretrained]
    if deltas:
        separable = sum(delta.separable for delta in deltas)
        raw = sum(delta.p is not None and delta.p < SIGNIFICANCE for delta in deltas)
        yield (
            f"Of {counted(len(deltas), 'difference')} of pretrained arms to {baseline}, {separable} are "
            f"beyond chance after Holm's correction over all {len(every)} differences of the board; "
            f"{raw} would be without it."
        )
    methods = [delta.method for delta in every if delta.interval is not None and delta.method]
    if methods:
        yield f"How the differences were tested: {tally(methods)}."
    reasons = [why_untested(delta) for delta in every if delta.interval is None]
    if reasons:
        yield f"{counted(len(reasons), 'difference')} without an interval: {tally(reasons)}."
    single = sum(delta.interval is not None and delta.interval.basis != "pretrainings" for delta in every)
    if single:
        yield (
            f"{counted(single, 'interval')} of differences (marked °) stand on runs or images of a single "
            "pretraining: of these very weights, not of the method."
        )


def _ranks(rows: tuple[Row, ...], ranking: Ranking) -> str | None:
    unranked = [row.name for row in rows if not row.ranked]
    if not ranking.columns or not unranked:
        return ranking.words or None
    return f"{ranking.words} Not ranked, hence below the others: {named(unranked)}."


def _incomplete(
    rows: tuple[Row, ...], columns: tuple[Column, ...], cells: dict[tuple[str, ColumnKey], Cell]
) -> str | None:
    incomplete = [row.name for row in rows if not row.complete]
    if not incomplete:
        return None
    missing = len(rows) * len(columns) - len(cells)
    return f"{counted(missing, 'cell')} not measured, in the rows of {named(incomplete)}."


def _times(rows: tuple[Row, ...], records: pd.DataFrame) -> Iterator[str]:
    """Say which costs are known as wall time alone."""
    timed = [row for row in rows if row.pretrain_seconds is not None and row.pretrain_compute is None]
    both = _on_both(records)
    mixed = [row.name for row in timed if row.name in both]
    walls = [row.name for row in timed if row.name not in mixed]
    if walls:
        yield (
            "Only wall time of the pretraining is known, which depends on what else the machine did: "
            f"{named(walls)}."
        )
    if mixed:
        yield f"Some pretrainings ran on CPUs and some on GPUs, so only wall time is shown: {named(mixed)}."
    for words, costs, column in (
        ("wall", {row.name: row.pretrain_seconds for row in rows}, "pretrain_seconds"),
        ("computing", {row.name: row.pretrain_compute for row in rows}, "pretrain_compute"),
    ):
        partly = [of_row for of_row in _partly_stated(records, column) if costs[of_row[0]] is not None]
        if partly:
            listing = named([f"{row} (of {stated} of {every})" for row, stated, every in partly])
            yield (
                f"The {words} time of one pretraining is the mean of those of which a record states it: "
                f"{listing}."
            )
    without = int(records["compute"].isna().sum())
    if without:
        yield (
            f"{without} of {counted(len(records), 'record')} state wall time alone; rows with such records "
            "have no computing time of their transfer runs."
        )


def _on_both(records: pd.DataFrame) -> set[str]:
    """Return the rows with pretrainings on processors and on GPUs."""
    kinds = records.groupby("row")["pretrain_compute_kind"].nunique()
    return set(kinds[kinds > 1].index)


def _partly_stated(records: pd.DataFrame, column: str) -> Iterator[tuple[str, int, int]]:
    """Yield row, pretrainings of which a record states a fact, and all of it; where these are not equal."""
    stated = records[column].notna().groupby([records["row"], records["weights"]]).any()
    counts = stated.groupby("row").agg(["sum", "size"])
    for row, (found, every) in zip(counts.index, counts.to_numpy().tolist(), strict=True):
        if 0 < found < every:
            yield str(row), found, every


def _filtered(rows: tuple[Row, ...]) -> str | None:
    filtered = sorted({f"{row.name} ({row.high_pass})" for row in rows if row.high_pass})
    if not filtered:
        return None
    return (
        "Images are high-pass filtered before the backbone, in pretraining and in every task: "
        f"{named(filtered)}."
    )


def _uncommitted(records: pd.DataFrame) -> str | None:
    dirty = sum(flag is True for flag in records["git_dirty"].tolist())
    if not dirty:
        return None
    return f"{dirty} of {len(records)} records come from a checkout with uncommitted changes."


def _budgets(rows: tuple[Row, ...]) -> str | None:
    """Say whether the pretrained arms had equal epochs and equal time."""
    arms = [row for row in rows if not row.control]
    if len(arms) < 2:
        return None
    listing = named([f"{row.name} {'unknown' if row.epochs is None else row.epochs}" for row in arms])
    known = {row.epochs for row in arms} - {None}
    if len(known) > 1:
        return (
            f"The arms had different numbers of pretraining epochs ({listing}): ranks mix method and budget."
        )
    if known and any(row.epochs is None for row in arms):
        return (
            f"The pretraining epochs of some arms are unknown ({listing}): ranks may mix method and budget."
        )
    timed, what = _comparable_times(arms)
    if len(timed) < 2 or timed[-1][0] <= UNEQUAL_TIME * timed[0][0]:
        return None if known else f"{UNKNOWN_EPOCHS}: ranks may mix method and budget."
    (least, fast), (most, slow) = timed[0], timed[-1]
    factor = f", a factor of {rounded(most / least, 1)}" if least > 0 else ""
    took = f"took {seconds_words(least)} ({fast}) to {seconds_words(most)} ({slow}) of {what}{factor}"
    if not known:
        return f"{UNKNOWN_EPOCHS}, and their pretraining {took}: ranks mix method and budget."
    return (
        f"Equal epochs, unequal time: every pretrained arm had {counted(known.pop() or 0, 'epoch')}, which "
        f"{took}. The ranking says nothing about equal time."
    )


def _comparable_times(arms: list[Row]) -> tuple[list[tuple[float, str]], str]:
    """Return (seconds, row) in order, and what they are: computing time if all arms have the same kind."""
    kinds = {row.compute_kind for row in arms}
    if len(kinds) == 1 and None not in kinds:
        times = [(row.pretrain_compute, row.name) for row in arms]
        what = {"cpu": "processor time", "gpu": "GPU time"}.get(str(kinds.pop()), "computing time")
    else:
        times, what = [(row.pretrain_seconds, row.name) for row in arms], "wall time"
    return sorted((seconds, name) for seconds, name in times if seconds is not None), what


def _architectures(rows: tuple[Row, ...]) -> str | None:
    archs = sorted({row.arch for row in rows if row.arch != "pixels"})
    if len(archs) < 2:
        return None
    return f"The arms have different architectures ({named(archs)}): ranks mix method and architecture."
