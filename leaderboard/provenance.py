"""Code, machine and packages that records were measured with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from mmbench.leaderboard.board import Provenance

FIELDS = [
    *("mmbench", "git_sha", "git_dirty", "device", "processor", "cpu_count", "threads"),
    *("platform", "python", "packages"),
]


def provenances_of(records: pd.DataFrame) -> tuple[tuple[Provenance, ...], list[int]]:
    """Return the different provenances of records, in the order of the frame, and the place of each one's."""
    places = records.groupby(FIELDS, sort=False, dropna=False).ngroup()
    different = records.loc[~places.duplicated(), FIELDS].to_dict("records")
    found: list[Provenance] = []
    for made in different:
        commit = made["git_sha"][:12] if isinstance(made["git_sha"], str) else "outside a checkout"
        found.append(
            (
                ("mmbench", made["mmbench"]),
                ("git commit", commit + (" + uncommitted changes" if made["git_dirty"] is True else "")),
                ("device", made["device"]),
                ("processor", f"{made['processor']}, {made['cpu_count']} cores"),
                ("threads per run", str(made["threads"])),
                ("platform", made["platform"]),
                ("Python", made["python"]),
                ("packages", ", ".join(f"{name} {v}" for name, v in json.loads(made["packages"]).items())),
            )
        )
    return tuple(found), places.tolist()


def environment(
    provenances: Sequence[Provenance], places: Sequence[int]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return (what, different values) for code, machine and packages; the commonest value first.

    Args:
        provenances, places: as `provenances_of` returns them.
    """
    counts: dict[str, Counter[str]] = {}
    for place, records in Counter(places).items():
        for what, value in provenances[place]:
            counts.setdefault(what, Counter())[value] += records
    return tuple((what, _common_first(values)) for what, values in counts.items())


def _common_first(counts: Counter[str]) -> tuple[str, ...]:
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    if len(ordered) == 1:
        return (ordered[0],)
    return tuple(f"{value} ({counts[value]} of {counts.total()} records)" for value in ordered)
