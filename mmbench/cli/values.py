"""Types of values on the command line: whole numbers, seeds, and names with several spellings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

_WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)


class WholeNumber(click.IntRange):
    """A decimal whole number in a range; `1_0`, which Python reads as 10, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number.

        Raises:
            click.BadParameter: it is not one, or out of range.
        """
        if isinstance(value, str) and not _WHOLE.fullmatch(value):
            self.fail(f"{value!r} is not a whole number", param, ctx)
        return super().convert(value, param, ctx)


class SeedNumber(WholeNumber):
    """A seed. Its range, whose end has 19 digits, is left out of help; a seed out of range is refused."""

    def _describe_range(self) -> str:
        return ""


class Spellings(click.Choice[str]):
    """A choice of names, each with other spellings that are accepted and not shown.

    Args:
        names: name -> its other spellings.
    """

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        super().__init__(tuple(names))
        self._names = {other: name for name, others in names.items() for other in others}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name that `value` is a spelling of.

        Raises:
            click.BadParameter: it is none of them.
        """
        return super().convert(self._names.get(value, value), param, ctx)
