"""Every `mmbench` command in the documentation names commands, options and values that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mmbench.checkpoints.target import TARGETS
from mmbench.cli.commands import root
from mmbench.errors import UserError
from mmbench.pretrain.recipes.recipe import get_scale, split_name
from mmbench.tasks import TASKS
from mmbench.transfer.protocol import get_protocol

TOP = Path(__file__).resolve().parents[2]
LOOK_UP = {  # parameter -> refuses unknown names
    "task": TASKS.get,
    "tasks": TASKS.get,
    "protocol": get_protocol,
    "protocols": get_protocol,
    "to": TARGETS.get,
    "method": split_name,
    "scale": get_scale,
}
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md"))]


def commands_of(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each `mmbench ...` command and whether it is complete: in a block; not in inline code."""
    text = re.sub(r"\\\n\s*", " ", text)
    for line in text.splitlines():
        block = re.match(r"\s*(?:\$ )?(?:torchrun .* -m )?(mmbench .*)", line)
        if block:
            yield block.group(1), "..." not in block.group(1).split()
        else:
            yield from ((command, False) for command in re.findall(r"`(mmbench [a-z][^`]*)`", line))


def check(line: str, complete: bool) -> None:
    """Parse a command without running it: names of commands and options, values, required options.

    Raises:
        UserError, click.ClickException, AssertionError: the command could not be run.
    """
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "..."]
    command: click.Command = root
    context = click.Context(command, info_name="mmbench")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"no command '{words[0]}'"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    if "--help" in words:
        return
    given, _, order = command.make_parser(context).parse_args(list(words))
    stated = {parameter.name for parameter in order if _is_given(given.get(parameter.name or ""))}
    for parameter in command.params:
        name = parameter.name or ""
        if complete and parameter.required and "list" not in stated:
            assert name in stated, f"{parameter.get_error_hint(context)} is missing"
        if name not in stated:
            continue
        values = given[name] if isinstance(given[name], list | tuple) else [given[name]]
        for value in values:
            if isinstance(parameter.type, click.Choice):
                parameter.type.convert(value, parameter, context)
            for part in str(value).split(",") if name in LOOK_UP else ():
                LOOK_UP[name](part)


def _is_given(value: object) -> bool:
    return bool(value) and "UNSET" not in str(value)  # click's mark of a missing argument


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TOP).as_posix())
def test_commands_on_a_page_can_be_parsed(page: Path) -> None:
    wrong = []
    for line, complete in commands_of(page.read_text(encoding="utf-8")):
        try:
            check(line, complete)
        except (click.ClickException, UserError, AssertionError, ValueError) as error:
            message = error.format_message() if isinstance(error, click.ClickException) else str(error)
            wrong.append(f"{line}\n    {message}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    [
        "mmbench transfr --task knn",
        "mmbench transfer --tsk knn",
        "mmbench transfer --task kn --data patterns --checkpoint runs/mixmask",
        "mmbench transfer --task knn --data patterns --checkpoint runs/mixmask --precision int8",
        "mmbench convert r18.pth r18.pkl",
        "mmbench convert a b --to tim",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    with pytest.raises((click.ClickException, UserError, AssertionError)):
        check(line, complete=True)
