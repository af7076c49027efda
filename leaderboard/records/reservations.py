"""What compares with reservations: records of one column that differ in a fact that may matter."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmbench.file_names import counted, listed
from mmbench.leaderboard.records.codes import Codes, codes_of, groups_of, together, with_two
from mmbench.leaderboard.records.comparability import fields_with
from mmbench.leaderboard.records.effects import COLUMN, Effect, Field

SHOWN_VALUES = 4
LONGEST_VALUE = 60  # characters
NAMED = {"arm": "arms", "dataset": "data sets", "pretrain_data": "pretraining data sets"}
# Cyrillic and Greek letters that are drawn like Latin ones.
DRAWN_ALIKE = str.maketrans("авекмнорстухіјѕԁԛԝɡαβεικνορτυχγ", "abekmhopctyxijsdqwgabeiknoptuxy")


def reservations(frame: pd.DataFrame) -> list[str]:
    """Return a sentence for each way in which the records of a checked frame compare with reservations."""
    records = frame[frame["primary"]]
    places = groups_of(records, COLUMN)
    cells = together([codes_of(records["row"])[0], places])
    found = []
    for field in fields_with(Effect.WARNED):
        if field.fact == "labels":
            found += _labels(records, places)
        else:
            found += _different(records, field, places, cells)
            found += _unstated(records, field, places)
    pretrained = records[~records["control"].to_numpy(bool)]
    for field in fields_with(Effect.ROWS):
        if field.between and len(pretrained):
            found += _between(pretrained, field)
    return [*_weights(records, cells), *found, *_alike(records)]


def _different(records: pd.DataFrame, field: Field, places: Codes, cells: Codes) -> list[str]:
    """Say in which columns the records differ in a fact; those that do not state it are left out."""
    codes, _ = codes_of(records[str(field.fact)])
    columns = with_two(places, codes)
    if not len(columns):
        return []
    inside = with_two(cells, codes)
    affected = records[np.isin(places, columns)]
    first = records.iloc[int(np.argmax(places == columns[0]))]
    where = f"{counted(len(columns), 'column')}, such as {_place(first)}"
    if len(inside):
        first = records.iloc[int(np.argmax(cells == inside[0]))]
        where += f", and within {counted(len(inside), 'cell')}, such as that of {first['row']}"
    values = affected[str(field.fact)].dropna()
    return [f"Different {field.words} in {where}: {_counts(field, values)}."]


def _unstated(records: pd.DataFrame, field: Field, places: Codes) -> list[str]:
    """Say in which columns some records state a fact and others do not."""
    fact = "effective_lr" if field.fact == "scaled_lr" else str(field.fact)  # a chosen rate is stated too
    unsaid = records[fact].isna().to_numpy(bool)
    if fact.startswith("pretrain"):  # a control was not pretrained
        trained = ~records["control"].to_numpy(bool)
        records, places, unsaid = records[trained], places[trained], unsaid[trained]
    columns = with_two(places, unsaid.astype(np.int64))
    if not len(columns):
        return []
    silent = unsaid & np.isin(places, columns)
    first = records.iloc[int(np.argmax(silent))]
    return [
        f"{counted(int(silent.sum()), 'record')} of {counted(len(columns), 'column')} do not state their "
        f"{field.words}, and others there do, such as that of {first['row']} in {_place(first)}."
    ]


def _counts(field: Field, values: pd.Series) -> str:
    """Return the values with how many records have each, the most frequent first."""
    counts = values.value_counts()
    names = {value: str(value) for value in counts.index}
    if field.fact == "packages":
        names = _versions(list(counts.index))
    elif field.fact == "scaled_lr":
        names = {value: f"{value:g}" for value in counts.index}
    ordered = sorted(counts.index, key=lambda value: (-counts[value], names[value]))
    shown = [
        f"{_short(names[value])} ({counted(int(counts[value]), 'record')})"
        for value in ordered[:SHOWN_VALUES]
    ]
    more = [f"and {len(ordered) - SHOWN_VALUES} more"] if len(ordered) > SHOWN_VALUES else []
    return ", ".join([*shown, *more])


def _versions(texts: Sequence[str]) -> dict[str, str]:
    """Return package versions, given as JSON, in words that have only the packages that differ."""
    packages = {text: json.loads(text) for text in texts}
    names = sorted(set[str]().union(*packages.values()))
    varying = [name for name in names if len({found.get(name) for found in packages.values()}) > 1]
    return {
        text: " and ".join(f"{name} {found.get(name, 'absent')}" for name in varying)
        for text, found in packages.items()
    }


def _labels(records: pd.DataFrame, places: Codes) -> list[str]:
    """Say in which columns rows saw other labels, or some records do not say which labels they saw."""
    codes, _ = codes_of(records["labels"])
    known = np.unique(places[codes >= 0])
    unsaid = np.isin(places, known) & (codes < 0)
    found = []
    if unsaid.any():
        first = records.iloc[int(np.argmax(unsaid))]
        found.append(
            f"{counted(int(unsaid.sum()), 'record')} of columns with few labels without a digest of the "
            f"labels used, such as that of {first['row']} in {_place(first)}."
        )
    rows, _ = codes_of(records["row"])
    sets: dict[int, dict[int, set[int]]] = {}
    stated = np.unique(np.stack([places, rows, codes])[:, codes >= 0], axis=1)
    for place, row, label in stated.T.tolist():
        sets.setdefault(place, {}).setdefault(row, set()).add(label)
    mixed = [place for place, by_row in sets.items() if len({frozenset(own) for own in by_row.values()}) > 1]
    if mixed:
        first = records.iloc[int(np.argmax(places == mixed[0]))]
        found.append(
            f"The rows of {counted(len(mixed), 'column')} saw different sets of labels, such as in "
            f"{_place(first)}: their differences are partly those of the labels."
        )
    return found


def _between(pretrained: pd.DataFrame, field: Field) -> list[str]:
    """Say that pretrained rows of one column differ in a fact besides their method."""
    group = [*COLUMN, "pretrain_data"] if field.fact == "pretrain_fingerprint" else list(COLUMN)
    values = pretrained[str(field.fact)]
    if field.absent is not None:
        values = values.astype(object).where(values.notna(), field.absent)
    mixed = with_two(groups_of(pretrained, group), codes_of(values)[0])
    if not len(mixed):
        return []
    different = sorted({_short(str(value)) for value in values.dropna()})
    return [f"The pretrained rows have different {field.words} ({listed(different, SHOWN_VALUES)})."]


def _weights(records: pd.DataFrame, cells: Codes) -> list[str]:
    """Say where weights and their seeds are not as they should be, though no run counts twice."""
    found = []
    weights, _ = codes_of(records["weights"])
    rows, names = codes_of(records["row"])
    control = records["control"].to_numpy(bool)
    seen = groups_of(records, ["weights", "preprocessing"])
    shared = with_two(seen, rows)
    if len(shared):
        both = sorted({str(names[row]) for row in np.unique(rows[seen == shared[0]])})
        others = f", and {len(shared) - 1} more" if len(shared) > 1 else ""
        found.append(f"The same weights stand in several rows: {listed(both, 4)}{others}.")
    seeds = records["pretraining_seed"]
    seeded = seeds.notna().to_numpy() & ~control
    by_seed = groups_of(records, ["row", "pretraining_seed"])
    for group in with_two(by_seed[seeded], weights[seeded])[:SHOWN_VALUES]:
        first = records[(by_seed == group) & seeded].iloc[0]
        found.append(
            f"The columns of {first['row']} are not of the same weights: pretraining seed "
            f"{first['pretraining_seed']} has several."
        )
    seed_codes, _ = codes_of(seeds)
    by_weights = together([rows, weights])
    for group in with_two(by_weights[seeded], seed_codes[seeded])[:SHOWN_VALUES]:
        own = records[(by_weights == group) & seeded]
        stated = ", ".join(map(str, sorted(own["pretraining_seed"].unique())))
        found.append(f"One set of weights of {own['row'].iloc[0]} is said to have the seeds {stated}.")
    half = np.intersect1d(rows[seeded], rows[~seeded & ~control])
    if len(half):
        listing = listed([str(names[row]) for row in half])
        found.append(f"Not all pretraining seeds are known, so that one may count twice: {listing}.")
    keyed = records.assign(cell=cells)
    again = keyed.duplicated(["cell", "value", "wall_seconds"])
    if again.any():
        first = keyed[again].iloc[0]
        found.append(
            f"{_have(int(again.sum()))} the value and the seconds of another one of the same cell, to the "
            f"last digit, such as {first['file']}: is it a copy?"
        )
    return found


def _alike(records: pd.DataFrame) -> list[str]:
    """Say which names of different things look alike."""
    found = []
    for column, words in NAMED.items():
        drawn: dict[str, list[str]] = {}
        for name in sorted(set(records[column].dropna())):
            drawn.setdefault(look_of(name), []).append(name)
        for names in drawn.values():
            if len(names) > 1:
                escaped = ", ".join(name if name.isascii() else ascii(name)[1:-1] for name in names)
                found.append(f"Different {words} have names that look alike: {escaped}.")
    return found


def look_of(name: str) -> str:
    """Return what a name looks like: without case, accents' spelling, separators and foreign letters.

    >>> look_of("MoCo v2") == look_of("m\\u043eco-v2")
    True
    """
    folded = unicodedata.normalize("NFKC", name).casefold().translate(DRAWN_ALIKE)
    return "".join(letter for letter in folded if letter.isalnum() or letter in "+.")


def _have(records: int) -> str:
    return f"{counted(records, 'record')} {'has' if records == 1 else 'have'}"


def _place(record: pd.Series) -> str:
    return f"{record['protocol']} on {record['dataset']}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
