"""The commands that are suggested as the next step exist, with the options that they are given."""

import ast
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mmbench.cli import commands as cli

ROOT = Path(__file__).parents[2]


def suggestions() -> Iterator[tuple[str, list[str]]]:
    """Yield (place, words that are written out) for every call of `next_step` in the product."""
    for folder in ("mmbench", "pretrain", "transfer", "leaderboard", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if "next_step(" not in text:  # few files have one, and parsing all of them takes seconds
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "next_step":
                    words = [
                        argument.value
                        for argument in node.args
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                    ]
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", words


FOUND = [found for found in suggestions() if found[1]]


@pytest.mark.parametrize(("place", "words"), FOUND, ids=[place for place, _ in FOUND])
def test_the_suggested_command_takes_these_options(place: str, words: list[str]) -> None:
    command: click.Command = cli.root
    rest = list(words)
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= known


def test_every_command_suggests_one() -> None:
    places = {place.split(":")[0].rpartition("/")[2] for place, _ in suggestions()}
    assert {"data.py", "preview.py", "results.py", "convert.py", "inspect_checkpoint.py"} <= places
    assert {"doctor.py", "embed_command.py", "command.py"} <= places
