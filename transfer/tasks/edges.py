"""Whether the best of the tried values is at the edge of what was tried: a better one may lie beyond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

FEWEST = 3  # values; with fewer there is no inside, and every choice is an edge


class Edge(NamedTuple):
    """A chosen value that is the smallest or the largest of those tried.

    Attributes:
        side: "smallest" or "largest".
        value: the chosen one.
        tied: values that are no edge and are as good on the split that chooses, in rising order.
    """

    side: str
    value: float
    tied: tuple[float, ...]


def edge_of(
    scores: Mapping[float, float],
    chosen: float,
    tried: Sequence[float],
    *,
    least: float | None = None,
    most: float | None = None,
) -> Edge | None:
    """Return which edge of `tried` the chosen value is; None where it is none, or nothing lies beyond it.

    Args:
        scores: the best score of each value that was measured; larger is better.
        chosen: one of them.
        tried: all values, measured or not (a search may stop early), in any order.
        least, most: values that cannot be gone beyond, such as a weight decay of 0.
    """
    values = sorted(set(tried))
    if len(values) < FEWEST or chosen not in (values[0], values[-1]) or chosen in (least, most):
        return None
    tied = tuple(value for value in values[1:-1] if scores.get(value) == scores[chosen])
    return Edge("smallest" if chosen == values[0] else "largest", chosen, tied)


def edge_note(name: str, setting: str, edge: Edge | None, tried: Sequence[float]) -> tuple[str, ...]:
    """Return what a reader must know about a choice at an edge: one line, or none.

    Args:
        name: what the value is called, such as "learning rate".
        setting: which setting widens the range, such as "learning_rates".
    """
    if edge is None:
        return ()
    words = f"{name} {edge.value:g} is the {edge.side} of the {len(set(tried))} tried"
    if edge.tied:
        equals = ", ".join(f"{value:g}" for value in edge.tied)
        return (f"{words}; {equals} inside the range did as well on val",)
    return (f"{words}: the best may lie beyond this edge of the grid; widen it by --set {setting}=...",)


def best_of(values: Sequence[float], scores: Sequence[float]) -> dict[float, float]:
    """Return for each value the best of its scores: of a grid's axis, over everything else that was tried."""
    best: dict[float, float] = {}
    for value, score in zip(values, scores, strict=True):
        best[value] = max(score, best.get(value, score))
    return best
