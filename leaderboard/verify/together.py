"""What only several records together show: copies, repeats, and values that no training could give."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mmbench.leaderboard.records.weights import identities
from mmbench.leaderboard.verify.problems import ERROR, WARNING, Filed, Problem

FRACTION = 1.0  # a percentage below this, where others are far above, is a share of 1
PERCENTAGES = 10.0
Weights = Mapping[str, str]  # by the name of each record: the identity of its weights


def implausible_together(records: Sequence[Filed]) -> Iterator[Problem]:
    """Yield a problem for each record that does not go with the others of its column."""
    columns: dict[tuple[str, ...], list[Filed]] = defaultdict(list)
    for filed in records:
        result = filed.result
        key = (result.task, result.dataset.name, result.dataset.fingerprint, result.protocol)
        columns[key].append(filed)
    names = identities([filed.result for filed in records])
    weights = {filed.name: name for filed, name in zip(records, names, strict=True)}
    for column in columns.values():
        yield from _repeats(column, weights)
        yield from _copies(column, weights)
        yield from _below_control(column)
        yield from _fractions(column)
    yield from _equal_pretrainings(records, weights)


def _value(filed: Filed) -> float:
    return filed.result.metrics[filed.result.primary_metric].value


def _repeats(column: Iterable[Filed], weights: Weights) -> Iterator[Problem]:
    """The same weights, seed and settings twice: one run, filed twice."""
    seen: dict[tuple[object, ...], Filed] = {}
    for filed in column:
        result = filed.result
        key = (result.model.arm, weights[filed.name], result.seed, str(result.config))
        if (first := seen.setdefault(key, filed)) is not filed:
            yield Problem(ERROR, filed.name, f"is the same run as {first.name}")


def _copies(column: Iterable[Filed], weights: Weights) -> Iterator[Problem]:
    """Equal values and seconds under another seed or other weights.

    Equal values alone are common: a nearest-neighbour search has no seed, and top-1 has few digits.
    """
    seen: dict[tuple[object, ...], Filed] = {}
    for filed in column:
        result = filed.result
        values = tuple(sorted((name, metric.value) for name, metric in result.metrics.items()))
        classes = tuple(sorted((result.per_class or {}).items()))
        key = (values, classes, result.wall_seconds)
        first = seen.setdefault(key, filed)
        if first is filed:
            continue
        if (weights[first.name], first.result.seed) == (weights[filed.name], result.seed):
            continue
        same_date = first.result.created == result.created
        what = "every value, the seconds and the date" if same_date else "every value and the seconds"
        yield Problem(
            ERROR if same_date else WARNING,
            filed.name,
            f"{what} equal those of {first.name}, whose seed or weights differ: a copy with another name?",
        )


def _below_control(column: Sequence[Filed]) -> Iterator[Problem]:
    control = [_value(filed) for filed in column if filed.result.model.source_format == "random"]
    if not control:
        return
    level = statistics.fmean(control)
    for filed in column:
        result = filed.result
        if result.model.control:
            continue
        higher = result.metrics[result.primary_metric].higher_is_better
        if (_value(filed) <= level) if higher else (_value(filed) >= level):
            yield Problem(
                WARNING,
                filed.name,
                f"{result.primary_metric} {_value(filed):.4g} is not better than random weights, {level:.4g}",
            )


def _fractions(column: Sequence[Filed]) -> Iterator[Problem]:
    values = [_value(filed) for filed in column if _unit(filed) == "percent"]
    if not values or statistics.median(values) < PERCENTAGES:
        return
    for filed in column:
        if _unit(filed) == "percent" and 0 < _value(filed) <= FRACTION:
            words = f"{filed.result.primary_metric} {_value(filed):.4g} looks like a fraction of 1"
            yield Problem(WARNING, filed.name, f"{words}, not a percentage")


def _unit(filed: Filed) -> str:
    return filed.result.metrics[filed.result.primary_metric].unit


def _equal_pretrainings(records: Iterable[Filed], weights: Weights) -> Iterator[Problem]:
    """Yield one problem per pair of pretrainings that took exactly as long."""
    seen: dict[tuple[str, float], Filed] = {}
    said: set[tuple[str, str]] = set()
    for filed in records:
        card = filed.result.model
        if not card.pretrain_seconds:
            continue
        first = seen.setdefault((card.arm, card.pretrain_seconds), filed)
        pair = (weights[first.name], weights[filed.name])
        if pair[0] == pair[1] or pair in said:
            continue
        said.add(pair)
        yield Problem(
            WARNING,
            filed.name,
            f"its pretraining took {card.pretrain_seconds} s, exactly as long as that of {first.name}",
        )
