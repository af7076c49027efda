"""Values that name weights or data: looked at while the command line is read, before torch is imported.

What is not there is refused by the words of the reader that would miss it seconds later. A command that takes
such values imports what loads torch only when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click

from mmbench.home import at_home


class Place(click.Path):
    """A path, whose `~` is the user's home, although a shell leaves it in quotes and a file has none."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(path_type=Path, **facts)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path.

        Raises:
            click.BadParameter: it is a file where a folder is needed, or the other way round.
        """
        return super().convert(at_home(value) if isinstance(value, str) else value, param, ctx)


class Checked(click.types.StringParamType):
    """A text that is looked at; a leading `~` is the user's home.

    Args:
        look: raises UserError where nothing can be meant by it.
    """

    def __init__(self, look: Callable[[str], None]) -> None:
        self.look = look

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the value.

        Raises:
            UserError: nothing can be meant by it.
        """
        text = at_home(str(super().convert(value, param, ctx)))
        self.look(text)
        return text


def checkpoint(names: Collection[str] = ()) -> Checked:
    """Return the type of a file or folder of weights, or a name that a library knows.

    Args:
        names: of what else the command takes, such as the controls.
    """

    def look(spec: str) -> None:
        from mmbench.checkpoints.beside import weights_in
        from mmbench.checkpoints.places import kind_of, source_of

        if spec not in names and source_of(spec) is None:
            path = Path(spec)
            kind_of(weights_in(path) if path.is_dir() else path)

    return Checked(look)


def _look_at_data(data: str) -> None:
    from mmbench.data.names import require_data

    if _data_sets_are_unknown():
        require_data(data)


def _look_at_name(data: str) -> None:
    from mmbench.data.names import require_name

    if _data_sets_are_unknown():
        require_name(data)


def _data_sets_are_unknown() -> bool:
    """Return whether the registry of data sets is not imported; where it is, it may hold more."""
    return "mmbench.data.dataset" not in sys.modules


DATA = Checked(_look_at_data)  # a data set, or the path of a folder or list of images
DATA_SET = Checked(_look_at_name)  # a data set by its name
