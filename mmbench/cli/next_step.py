"""The last line of a command: what a user would run next."""

from __future__ import annotations

import shlex

import click
from click.core import ParameterSource

from mmbench.errors import one_line


def next_step(*words: object) -> None:
    """Print `next: mmbench ...` to stderr, quoted for a shell; stdout stays what a script reads.

    >>> next_step("transfer", "--task", "linear", "--checkpoint", Path("runs/x"), "--data", "patterns")

    Args:
        words: the command's arguments, one by one; paths may be given as they are.
    """
    click.echo(one_line(f"next: {shlex.join(['mmbench', *map(str, words)])}"), err=True)


def passed_on(*names: str, **spelled: str) -> tuple[str, ...]:
    """Return the options that the user gave to the running command, as words of the next one.

    Those of a --config file are among them. Those of the environment are not, as the next command has it too.

    Args:
        names: of the parameters to pass on, such as "arch".
        spelled: others, with the option that the next command has for them, such as seed="--seeds".
    """
    context = click.get_current_context()
    words: list[str] = []
    for option in context.command.params:
        name, value = str(option.name), context.params.get(str(option.name))
        source = context.get_parameter_source(name)
        typed = source in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
        if not (typed and name in {*names, *spelled}) or value is None or value is False:
            continue
        word = spelled.get(name) or next(spelling for spelling in option.opts if spelling.startswith("--"))
        if getattr(option, "is_flag", False):
            words.append(word)
        else:
            values = value if option.multiple else (value,)
            words += [part for one in values for part in (word, str(one))]
    return tuple(words)
