"""Caveats of a board, and the environment in which its numbers were measured."""

from __future__ import annotations

import json

import pandas as pd

from mmbench.data.file_names import counted
from mmbench.leaderboard.board import Cell, Column, ColumnKey, Row
from mmbench.leaderboard.render.wording import seconds_words

UNEQUAL_TIME = 1.1  # pretraining times further apart than this factor are worth a warning


def footnotes(
    rows: tuple[Row, ...],
    columns: tuple[Column, ...],
    cells: dict[tuple[str, ColumnKey], Cell],
    baseline: str | None,
    records: pd.DataFrame,
) -> tuple[str, ...]:
    """Return the caveats of a board, the gravest first."""
    notes = [note for note in (_cost(rows), _architectures(rows)) if note]
    single = [cell for cell in cells.values() if cell.summary.runs == 1]
    if single:
        notes.append(
            f"{len(single)} of {len(cells)} cells hold a single run (n=1): their spread is unknown, "
            "and a difference to them cannot be distinguished from chance."
        )
    pretrained = {row.name for row in rows if not row.control}
    deltas = [cell.delta for (arm, _), cell in cells.items() if cell.delta is not None and arm in pretrained]
    if deltas:
        separable = sum(delta.separable for delta in deltas)
        missing = sum(delta.interval is None for delta in deltas)
        without = f"; {missing} have no interval (n=1)" if missing else ""
        notes.append(
            f"Of {len(deltas)} differences of pretrained arms to {baseline}, {separable} have a 95% interval "
            f"(Welch) that excludes zero{without}. No correction for the number of comparisons is made."
        )
        on_runs = [d for d in deltas if d.interval is not None and d.interval.basis == "runs"]
        if on_runs:
            notes.append(
                f"{len(on_runs)} intervals stand on runs of a single pretraining (marked °): they speak of "
                "these very weights, not of the method."
            )
    incomplete = [row.name for row in rows if not row.complete]
    if incomplete:
        notes.append(
            "Not measured in every column, hence below the others whatever their ranks: "
            f"{', '.join(incomplete)}."
        )
    filtered = sorted({f"{row.name} ({row.high_pass})" for row in rows if row.high_pass})
    if filtered:
        notes.append(
            f"Images are high-pass filtered before the backbone, in pretraining and in every task: "
            f"{', '.join(filtered)}."
        )
    skipped = records.attrs.get("skipped", ())
    if skipped:
        notes.append(f"{counted(len(skipped), 'file')} left out: {'; '.join(skipped)}.")
    dirty = records[records["git_dirty"].map(lambda flag: flag is True)]
    if len(dirty):
        notes.append(f"{len(dirty)} of {len(records)} records come from a checkout with uncommitted changes.")
    return tuple(notes)


def _cost(rows: tuple[Row, ...]) -> str | None:
    """Say whether the pretrained arms had equal epochs and equal time."""
    arms = [row for row in rows if not row.control]
    epochs = {row.epochs for row in arms}
    timed = sorted(
        ((row.pretrain_seconds, row.name) for row in arms if row.pretrain_seconds is not None),
        key=lambda x: x[0],
    )
    if len(arms) < 2:
        return None
    if len(epochs) > 1:
        listing = ", ".join(f"{row.name} {'unknown' if row.epochs is None else row.epochs}" for row in arms)
        return (
            f"The arms had different numbers of pretraining epochs ({listing}): ranks mix method and budget."
        )
    if len(timed) < 2 or timed[-1][0] <= UNEQUAL_TIME * timed[0][0]:
        return None
    (least, fast), (most, slow) = timed[0], timed[-1]
    return (
        f"Equal epochs, unequal time: every pretrained arm had {arms[0].epochs} epochs, which took "
        f"{seconds_words(least)} ({fast}) to {seconds_words(most)} ({slow}), a factor of {most / least:.1f}. "
        "The ranking says nothing about equal time."
    )


def _architectures(rows: tuple[Row, ...]) -> str | None:
    archs = sorted({row.arch for row in rows if row.arch != "pixels"})
    if len(archs) < 2:
        return None
    return f"The arms have different architectures ({', '.join(archs)}): ranks mix method and architecture."


def environment(records: pd.DataFrame) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return (what, different values) for code, machine and packages; the commonest value first."""
    code = records["git_sha"].fillna("outside a checkout").str[:12] + records["git_dirty"].map(
        lambda flag: " + uncommitted changes" if flag is True else ""
    )
    machine = records["processor"] + ", " + records["cpu_count"].astype(str) + " cores"
    packages = records["packages"].map(
        lambda text: ", ".join(f"{name} {version}" for name, version in json.loads(text).items())
    )
    facts = {
        "mmbench": records["mmbench"],
        "git commit": code,
        "device": records["device"],
        "processor": machine,
        "threads per run": records["threads"].astype(str),
        "platform": records["platform"],
        "Python": records["python"],
        "packages": packages,
    }
    return tuple((what, _common_first(values)) for what, values in facts.items())


def _common_first(values: pd.Series[str]) -> tuple[str, ...]:
    counts = values.value_counts()
    ordered = sorted(counts.index, key=lambda value: (-counts[value], value))
    if len(ordered) == 1:
        return (str(ordered[0]),)
    return tuple(f"{value} ({counts[value]} of {len(values)} records)" for value in ordered)
