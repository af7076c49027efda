"""The verdict of a board: one plain sentence on whether any pretraining differs from the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mmbench.file_names import counted
from mmbench.leaderboard.board import Cell, Column, ColumnKey, Delta, Row
from mmbench.leaderboard.statistics.summaries import SIGNIFICANCE

MOST_ARMS, MOST_COLUMNS = 3, 4  # that the sentence names


def verdict(
    rows: Sequence[Row],
    columns: Sequence[Column],
    cells: Mapping[tuple[str, ColumnKey], Cell],
    baseline: str | None,
) -> str:
    """Return whether any pretraining differs from the baseline beyond chance, and in which columns.

    It stands on the p values of the differences of pretrained rows, adjusted by Holm over the whole board.
    """
    if baseline is None:
        return "No baseline is named, so no difference is tested; --baseline names one."
    others = [row for row in rows if not row.control and not row.baseline]
    if not others:
        return f"No pretrained arm but {baseline} is here, so there is nothing to compare with it."
    found = {
        row.name: [
            (column, cell.delta)
            for column in columns
            if (cell := cells.get((row.name, column.key))) is not None and cell.delta is not None
        ]
        for row in others
    }
    deltas = [delta for of_row in found.values() for _, delta in of_row]
    if not deltas:
        return f"No pretrained arm shares a column with {baseline}, so no difference can be tested."
    tested = [delta for delta in deltas if delta.adjusted_p is not None]
    if not tested:
        return (
            f"The data cannot tell: of {counted(len(deltas), 'difference')} to {baseline} none can be "
            f"tested; why: {tally(map(why_untested, deltas))}."
        )
    untested = f" ({len(deltas) - len(tested)} more cannot be tested)" if len(tested) < len(deltas) else ""
    basis = f"{counted(len(tested), 'difference')} of pretrained arms{untested}, Holm's correction"
    separable = [delta for delta in tested if delta.separable]
    if not separable:
        raw = sum(delta.p is not None and delta.p < SIGNIFICANCE for delta in tested)
        before = f"; {raw} would be without that correction" if raw else ""
        return (
            f"The data cannot tell any pretrained arm from {baseline}: no difference is beyond chance "
            f"({basis}{before})."
        )
    said = _findings(
        others, {name: [pair for pair in of_row if pair[1].separable] for name, of_row in found.items()}
    )
    single = sum(delta.interval is not None and delta.interval.basis != "pretrainings" for delta in separable)
    if single == len(separable):
        basis += "; all of it about these very weights, as a side has a single pretraining"
    elif single:
        basis += f"; {single} of them about these very weights, as a side has a single pretraining"
    return f"Beyond chance against {baseline}: {said} ({basis})."


def why_untested(delta: Delta) -> str:
    """Return why a difference has no interval and no p value."""
    return delta.method.removeprefix("none: ") or "a side has a single run"


def tally(words: Iterable[str]) -> str:
    """Return each of the words with its number, the most frequent first: "Welch's t (3); paired t (1)"."""
    ordered = sorted(Counter(words).items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{each} ({count})" for each, count in ordered)


def _findings(rows: Sequence[Row], found: Mapping[str, Sequence[tuple[Column, Delta]]]) -> str:
    """Return which rows are better or worse and where, the most columns first."""
    phrases = []
    for row in rows:
        for better, word in ((True, "better"), (False, "worse")):
            labels = [column.label for column, delta in found[row.name] if delta.better is better]
            if labels:
                more = f" and {len(labels) - MOST_COLUMNS} more" if len(labels) > MOST_COLUMNS else ""
                phrases.append(
                    (len(labels), f"{row.name} is {word} in {', '.join(labels[:MOST_COLUMNS])}{more}")
                )
    phrases.sort(key=lambda phrase: -phrase[0])
    said = "; ".join(words for _, words in phrases[:MOST_ARMS])
    if len(phrases) > MOST_ARMS:
        said += f"; and {counted(len(phrases) - MOST_ARMS, 'more finding')} of the kind"
    return said
