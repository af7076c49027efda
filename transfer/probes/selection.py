"""The choice of hyperparameters on val, and what a record says about it.

A choice at the edge of the values tried is noted: a better value may lie beyond it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

Candidate = TypeVar("Candidate")
Model = TypeVar("Model")
FEWEST = 3  # values; fewer have no inside, and every choice would be an edge


class Edge(NamedTuple):
    """A chosen value that is the smallest or the largest of those tried.

    Attributes:
        side: "smallest" or "largest".
        value: the chosen one.
        tied: values inside the range that score as well, in rising order.
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
    """Return which edge of `tried` the chosen value is; None if it is inside, or if no value lies beyond it.

    Args:
        scores: the best score of each value that was measured; larger is better.
        chosen: one of them.
        tried: all values in any order, measured or not (a search may stop early).
        least, most: bounds that no value can exceed, such as a weight decay of 0.
    """
    values = sorted(set(tried))
    if len(values) < FEWEST or chosen not in (values[0], values[-1]) or chosen in (least, most):
        return None
    tied = tuple(value for value in values[1:-1] if scores.get(value) == scores[chosen])
    return Edge("smallest" if chosen == values[0] else "largest", chosen, tied)


@dataclass(frozen=True)
class Axis(Generic[Candidate]):
    """One hyperparameter of the candidates.

    Attributes:
        name: such as "learning rate".
        setting: which setting widens the range, such as "learning_rates".
        tried: see `edge_of`, as `least` and `most`.
        value: returns a candidate's value.
    """

    name: str
    setting: str
    tried: Sequence[float]
    value: Callable[[Candidate], float]
    least: float | None = None
    most: float | None = None

    def notes(self, edge: Edge | None) -> tuple[str, ...]:
        """Return one line about a choice at an edge, or none."""
        if edge is None:
            return ()
        choice = f"{self.name} {edge.value:g} is the {edge.side} of the {len(set(self.tried))} tried"
        if edge.tied:
            equals = ", ".join(f"{value:g}" for value in edge.tied)
            return (f"{choice}; {equals} inside the range did as well on val",)
        return (
            f"{choice}: the best may lie beyond this edge of the grid; widen it by --set {self.setting}=...",
        )


@dataclass(frozen=True)
class Choice(Generic[Candidate]):
    """Candidates and their scores on val.

    Attributes:
        candidates: in the order in which they were measured; of equal ones the first is chosen.
        scores: one each; larger is better.
    """

    candidates: Sequence[Candidate]
    scores: Sequence[float]

    @property
    def index(self) -> int:
        """Position of the chosen candidate."""
        return max(range(len(self.scores)), key=self.scores.__getitem__)

    @property
    def chosen(self) -> Candidate:
        """The candidate with the best score."""
        return self.candidates[self.index]

    def edge_notes(self, *axes: Axis[Candidate]) -> tuple[str, ...]:
        """Return a note for every axis along which the chosen candidate is at an edge."""
        notes: list[str] = []
        for axis in axes:
            best: dict[float, float] = {}  # of each value, over everything else that was tried
            for candidate, score in zip(self.candidates, self.scores, strict=True):
                best[axis.value(candidate)] = max(score, best.get(axis.value(candidate), score))
            chosen = axis.value(self.chosen)
            notes += axis.notes(edge_of(best, chosen, axis.tried, least=axis.least, most=axis.most))
        return tuple(notes)


class Search(Generic[Model]):
    """Values that are fitted in order, each from the model before it.

    Args:
        values: such as weight decays, from strong to weak.
        patience: stop after so many values in a row that are no better than the best.

    Attributes:
        scores: on val, of the values so far; larger is better.
        last, best: the newest model and that of the choice; None before the first.
    """

    def __init__(self, values: Sequence[float], patience: int | None = None) -> None:
        self.values, self.patience = values, patience
        self.scores: list[float] = []
        self.last: Model | None = None
        self.best: Model | None = None

    @property
    def over(self) -> bool:
        """Whether no value is left to fit."""
        if not self.scores or len(self.scores) == len(self.values):
            return len(self.scores) == len(self.values)
        return self.patience is not None and len(self.scores) - 1 - self.choice.index == self.patience

    @property
    def value(self) -> float:
        """The next value."""
        return self.values[len(self.scores)]

    @property
    def choice(self) -> Choice[float]:
        """The best of the values so far."""
        return Choice(self.values[: len(self.scores)], self.scores)

    def add(self, model: Model, score: float) -> None:
        """Take the model of the next value and its score."""
        self.scores.append(score)
        self.last = model
        if self.choice.index == len(self.scores) - 1:
            self.best = model
