"""The last line of a command: what a user would run next."""

from __future__ import annotations

import shlex

import click

from mmbench.errors import one_line


def next_step(*words: object) -> None:
    """Print `next: mmbench ...` to stderr, quoted for a shell; stdout stays what a script reads.

    >>> next_step("transfer", "--task", "linear", "--checkpoint", Path("runs/x"), "--data", "patterns")

    Args:
        words: the command's arguments, one by one; paths may be given as they are.
    """
    click.echo(one_line(f"next: {shlex.join(['mmbench', *map(str, words)])}"), err=True)
