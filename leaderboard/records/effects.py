"""What a difference between records can mean for a board."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

COLUMN = ("task", "dataset", "protocol")
METRIC = (*COLUMN, "metric")


class Effect(StrEnum):
    """What a board does with records that differ in a field."""

    VALUE = "value"
    SAME = "same cell"
    ROWS = "splits rows"
    COLUMNS = "splits columns"
    REFUSED = "refused"
    WARNED = "warned"


MEANINGS = {
    Effect.VALUE: "it is a measured number, which is averaged and shown",
    Effect.SAME: "it may differ between the runs of a cell",
    Effect.ROWS: "records that differ in it stand in different rows",
    Effect.COLUMNS: "records that differ in it stand in different columns",
    Effect.REFUSED: "records that differ in it cannot share a board; the error names the files",
    Effect.WARNED: "a note of the board says where records of one column differ in it",
}


@dataclass(frozen=True)
class Field:
    """A field of a record, or a part of one.

    Attributes:
        path: dotted name in the record; "*" is any key of a mapping.
        effect: what records that differ in it mean for a board.
        why: the reason.
        fact: column of the tidy frame that the checks compare; None where there is nothing to compare, or
            where several fields are compared together.
        words: plural noun for messages.
        part: which part of the field, where its parts have different effects.
        group: for `REFUSED`: the columns of the frame whose equal values must have one value of the fact.
        kind: for `ROWS`: what it is a fact of. A control has no pretraining; how its images are prepared
            splits its row only where one column holds two ways.
        shown: for `ROWS`: how the name of a row shows a value.
        absent: for `ROWS`: how the name of a row shows that a fact is absent; None where absent means
            unknown.
        between: for `ROWS`: whether pretrained rows that differ in it are warned about.
    """

    path: str
    effect: Effect
    why: str
    fact: str | None = None
    words: str = ""
    part: str = ""
    group: tuple[str, ...] = COLUMN
    kind: Literal["network", "pretraining", "preprocessing"] = "pretraining"
    shown: str = "{}"
    absent: str | None = None
    between: bool = False

    @property
    def name(self) -> str:
        """The field in words, such as "recipe digest"."""
        return self.path.removesuffix(".*").rpartition(".")[2].replace("_", " ")
