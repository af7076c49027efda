"""Packages of others: every entry point of the group `mmbench.plugins` is loaded before a name is looked up.

A plugin is a module that registers what it adds by the same decorators that mmbench uses itself. Its
`pyproject.toml` names it::

    [project.entry-points."mmbench.plugins"]
    my_package = "my_package.plugin"
"""

from __future__ import annotations

import functools
import sys
from importlib.metadata import entry_points

from mmbench.errors import one_line

GROUP = "mmbench.plugins"


@functools.cache
def load_plugins() -> tuple[str, ...]:
    """Load every plugin once per process, and return the names of those that were loaded.

    A plugin that cannot be loaded is left out, and one line on stderr says so: it must not stop a command
    that does not need it.
    """
    loaded = []
    for entry in sorted(entry_points(group=GROUP)):
        try:
            entry.load()
        except Exception as error:  # whatever other people's modules raise
            owner = f" of {entry.dist.name}" if entry.dist is not None else ""
            reason = f"{type(error).__name__}: {error}"
            line = f"mmbench: the plugin '{entry.name}'{owner} cannot be loaded and is left out ({reason})"
            print(one_line(line), file=sys.stderr)
        else:
            loaded.append(entry.name)
    return tuple(loaded)
