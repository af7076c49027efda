"""Whether the command that runs has an option, so that a message names none that it does not have."""

from __future__ import annotations

import click


def command_has(option: str) -> bool | None:
    """Return whether the command that runs has an option; None where Python code is called by no command.

    Args:
        option: name of its parameter, such as "skip_invalid" for --skip-invalid.
    """
    context = click.get_current_context(silent=True)
    return None if context is None else any(found.name == option for found in context.command.params)
