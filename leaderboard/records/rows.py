"""Rows of a board: records whose weights differ stand in different rows, in all columns alike."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mmbench.file_names import counted, listed
from mmbench.leaderboard.records.codes import ABSENT, Codes, codes_of, groups_of, together
from mmbench.leaderboard.records.comparability import fields_with
from mmbench.leaderboard.records.effects import COLUMN, Effect, Field

LONGEST_WORD = 40  # characters of a fact in the name of a row
IDENTITY = tuple(entry for entry in fields_with(Effect.ROWS) if entry.fact != "arm")
CONTROL = "control"


@dataclass
class _Facts:
    """The different combinations of facts in the records, each with the arm that has it.

    Attributes:
        codes: fact -> the number of its value for each combination.
        values: fact -> the value of each number.
        columns: for each combination, the columns of the board that have records of it.
        assumed: fact -> arms of which some records do not state it, and are taken to be like the others.
    """

    codes: dict[str, list[int]]
    values: dict[str, list[object]]
    columns: list[set[int]]
    assumed: dict[str, list[str]] = field(default_factory=dict)

    def of(self, entry: Field, combination: int) -> int:
        return self.codes[str(entry.fact)][combination]

    def is_control(self, combination: int) -> bool:
        return bool(self.values[CONTROL][self.codes[CONTROL][combination]])


def name_rows(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the name of the row of each record of a frame, and sentences about what was split or assumed.

    A fact that a record does not state is that of other records of the same weights, or else of its arm, if
    these agree; if they do not, what is unknown makes a row of its own. A control, of which nothing was
    pretrained, is split by its network alone, and by other facts only if one column holds two.
    """
    arm_codes, arms = codes_of(frame["arm"])
    codes, values = {}, {}
    same_weights = together([arm_codes, codes_of(frame["weights"])[0]])
    for entry in IDENTITY:
        name = str(entry.fact)
        found, values[name] = codes_of(frame[name])
        if entry.absent is not None:  # absent is a fact like any other
            found = np.where(found == ABSENT, len(values[name]), found)
        codes[name] = _filled(found, same_weights)
    combination = together([arm_codes, *codes.values()])
    _, first = np.unique(combination, return_index=True)
    columns: list[set[int]] = [set() for _ in first]
    places = np.unique(np.stack([combination, groups_of(frame, COLUMN)]), axis=1)
    for number, column in places.T.tolist():
        columns[number].add(column)
    facts = _Facts({name: found[first].tolist() for name, found in codes.items()}, values, columns)
    by_arm: dict[str, list[int]] = {}
    for number, arm in enumerate(arm_codes[first].tolist()):
        by_arm.setdefault(str(arms[arm]), []).append(number)
    names: list[str] = [""] * len(first)
    split: list[str] = []
    for arm, members in by_arm.items():
        groups = _groups(arm, members, facts)
        if len(groups) > 1:
            split.append(arm)
        for group, name in zip(groups, _names(arm, groups, facts), strict=True):
            for number in group:
                names[number] = name
    names = _unique(names, [str(arms[arm]) for arm in arm_codes[first].tolist()])
    sentences = [*_said_split(split, names, by_arm), *_said_assumed(facts)]
    return [names[number] for number in combination.tolist()], sentences


def _filled(codes: Codes, groups: Codes) -> Codes:
    """Return the codes with absent ones filled from the same group, where the group has one known value."""
    absent = codes == ABSENT
    if not absent.any() or absent.all():
        return codes
    most = np.full(int(groups.max()) + 1, ABSENT)
    least = np.full_like(most, np.iinfo(np.int64).max)
    np.maximum.at(most, groups, codes)
    np.minimum.at(least, groups[~absent], codes[~absent])
    return np.where(absent & (most == least)[groups], most[groups], codes)


def _groups(arm: str, members: list[int], facts: _Facts) -> list[list[int]]:
    """Return the combinations of an arm, divided into rows."""
    groups = [members]
    for entry in IDENTITY:
        divided: list[list[int]] = []
        for group in groups:
            divided += _divided(arm, group, entry, facts) if len(group) > 1 else [group]
        groups = divided
    return groups


def _divided(arm: str, group: list[int], entry: Field, facts: _Facts) -> list[list[int]]:
    """Return a group divided by one fact."""
    by_value: dict[int, list[int]] = {}
    for number in group:
        by_value.setdefault(facts.of(entry, number), []).append(number)
    known = [value for value in by_value if value != ABSENT]
    if len(known) < 2:
        if len(by_value) > 1 and not facts.is_control(group[0]):
            facts.assumed.setdefault(str(entry.fact), []).append(arm)
        return [group]
    if entry.kind != "network" and facts.is_control(group[0]):
        places = Counter(
            column
            for value in known
            for column in set[int]().union(*(facts.columns[number] for number in by_value[value]))
        )
        if max(places.values()) < 2:
            return [group]
    return [by_value[value] for value in sorted(by_value)]


def _names(arm: str, groups: Sequence[list[int]], facts: _Facts) -> list[str]:
    """Return the names of an arm's rows: the arm, and the first facts that tell all of them apart."""
    if len(groups) == 1:
        return [arm]
    keys: list[tuple[int, ...]] = [() for _ in groups]
    chosen: list[Field] = []
    for entry in IDENTITY:
        known = [{facts.of(entry, number) for number in group} - {ABSENT} for group in groups]
        if any(len(found) > 1 for found in known):
            continue  # of a control, in different columns
        longer = [(*key, *(found or {ABSENT})) for key, found in zip(keys, known, strict=True)]
        if len(set(longer)) > len(set(keys)):
            keys, chosen = longer, [*chosen, entry]
        if len(set(keys)) == len(groups):
            break
    words = [
        list(dict.fromkeys(_word(entry, code, facts) for entry, code in zip(chosen, key, strict=True)))
        for key in keys
    ]
    words = [  # a digest where what tells rows apart was too long to show
        [*found, _digest(group[0], facts)] if words.count(found) > 1 else found
        for group, found in zip(groups, words, strict=True)
    ]
    return [f"{arm} ({', '.join(found)})" for found in words]


def _digest(number: int, facts: _Facts) -> str:
    """Return 6 hexadecimal digits of all facts of a combination."""
    codes = [(facts.values[name], found[number]) for name, found in facts.codes.items()]
    known = [values[code] if 0 <= code < len(values) else None for values, code in codes]
    return hashlib.sha256(repr(known).encode("utf-8", "surrogatepass")).hexdigest()[:6]


def _word(entry: Field, code: int, facts: _Facts) -> str:
    """Return how a name shows one fact."""
    values = facts.values[str(entry.fact)]
    if code == len(values) and entry.absent is not None:
        return entry.absent
    if code == ABSENT:
        return f"{entry.name} unknown"
    if entry.fact == CONTROL:
        return "control" if values[code] else "pretrained"
    word = entry.shown.format(values[code])
    return word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD - 1]}…"


def _unique(names: list[str], arms: list[str]) -> list[str]:
    """Return the names with a digest of the arm and the place in it where two rows would share one."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for name, arm in dict.fromkeys(zip(names, arms, strict=True)):
        rows.setdefault(name, []).append((name, arm))
    renamed = {
        row: f"{row[0]} [{hashlib.sha256(row[1].encode('utf-8', 'surrogatepass')).hexdigest()[:6]}]"
        for same in rows.values()
        if len(same) > 1
        for row in same
        if row[0] != row[1]  # the row that is called like its arm keeps its name
    }
    return [renamed.get((name, arm), name) for name, arm in zip(names, arms, strict=True)]


def _said_split(split: Sequence[str], names: Sequence[str], by_arm: Mapping[str, list[int]]) -> list[str]:
    return [
        f"The records of {listed([arm])} are of weights or images that differ, so they make "
        f"{counted(len(rows), 'row')}: {listed(rows, 6)}."
        for arm in split[:3]
        if (rows := list(dict.fromkeys(names[number] for number in by_arm[arm])))
    ] + ([f"So do those of {len(split) - 3} more arms."] if len(split) > 3 else [])


def _said_assumed(facts: _Facts) -> list[str]:
    return [
        f"Some records of {listed(arms)} do not say their {entry.name}; it is taken to be that of the others."
        for entry in IDENTITY
        if (arms := sorted(set(facts.assumed.get(str(entry.fact), ()))))
    ]
