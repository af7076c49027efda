"""Findings: what is unusual in annotated images, how often, and what is done about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from mmbench.errors import UserError
from mmbench.file_names import listed

# kept: used as it is. converted: read with a meaning that is clear. dropped: not used. refused: nothing runs.
Action = Literal["kept", "converted", "dropped", "refused"]


@dataclass(frozen=True)
class Finding:
    """One kind of peculiarity in one split.

    Attributes:
        what: in words, with the number, such as "3 boxes without area".
        action: what is done about it.
        remedy: what that means for the run or, if it is refused, how to fix it; in words.
        examples: names of places where it was found, such as "train/0001.jpg"; all of them.
        of_labels: whether it depends on what the pixels of label maps mean.
    """

    what: str
    action: Action
    remedy: str = ""
    examples: tuple[str, ...] = ()
    of_labels: bool = False

    def line(self, examples: int = 3, mark: str = "") -> str:
        """Return one line for a person.

        Args:
            examples: how many different places it names.
            mark: what stands before the action, such as a colon.
        """
        places = tuple(dict.fromkeys(filter(None, self.examples)))
        where = f" ({listed(places, examples)})" if places else ""
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.what}{where}{mark} {self.action}{remedy}"


@dataclass
class Findings:
    """Collects places by kind while files are read.

    Attributes:
        split: the split that is read; begins each line.
        of_labels: whether they depend on what the pixels of label maps mean.
    """

    split: str
    of_labels: bool = False
    _places: dict[tuple[str, str, Action, str], list[str]] = field(default_factory=dict)

    def add(self, one: str, many: str, action: Action, remedy: str, place: str) -> None:
        """Count one more place of a kind.

        Args:
            one: words after the count of one, such as "box without area".
            many: words after any other count, such as "boxes without area".
        """
        self._places.setdefault((one, many, action, remedy), []).append(place)

    def found(self) -> tuple[Finding, ...]:
        """Return one finding per kind, refused ones first, then in the order in which they were met."""
        kinds = [
            Finding(
                f"{self.split}: {len(places)} {one if len(places) == 1 else many}",
                action,
                remedy,
                tuple(places),
                self.of_labels,
            )
            for (one, many, action, remedy), places in self._places.items()
        ]
        return refused_first(kinds)


def refused_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in their order, after those that are refused."""
    return tuple(sorted(findings, key=lambda finding: finding.action != "refused"))


def require_usable(findings: Iterable[Finding]) -> None:
    """Check that nothing was refused.

    Raises:
        UserError: the first refused finding, and how many more there are.
    """
    refused = [finding for finding in findings if finding.action == "refused"]
    if refused:
        more = f" ({len(refused) - 1} more: mmbench data check)" if len(refused) > 1 else ""
        raise UserError(refused[0].line() + more)
