"""Published rows, and the groups in which they compare."""

from __future__ import annotations

from dataclasses import dataclass

from mmbench.file_names import counted


@dataclass(frozen=True)
class PublishedRow:
    """One published result: a method, variant and pretraining under one protocol of one source.

    All as the source prints it; an empty text is a fact that the source does not state. `values` follow the
    metrics of the group.

    Attributes:
        origin: "own run" if those who report it measured it, "quoted" if it is from another source, "own run
            or quoted" if the source does not say, "user report" from an issue of a repository.
        note: what a reader must know, such as doubts.
    """

    method: str
    variant: str
    backbone: str
    pretrain_data: str
    epochs: str
    batch_size: str
    values: tuple[str | None, ...]
    origin: str = "own run"
    note: str = ""

    @property
    def remarks(self) -> str:
        """The variant, the origin unless it is an own run, and the note, as one text."""
        origin = "" if self.origin == "own run" else self.origin
        return "; ".join(part for part in (self.variant, origin, self.note) if part)


@dataclass(frozen=True)
class PublishedGroup:
    """Published rows that compare: one task, data set, protocol and source.

    Attributes:
        repeats: quoted rows that are left out, as another group shows the same numbers.
    """

    task: str
    dataset: str
    protocol: str
    source: str
    metrics: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    repeats: int = 0

    @property
    def omission(self) -> str:
        """What is left out, in words; empty if nothing is."""
        if not self.repeats:
            return ""
        return f"{counted(self.repeats, 'quoted row')} of numbers that another table shows left out"
