"""The commands that are suggested as the next step exist, with the options that they are given."""

import ast
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mmbench.cli import commands as cli
from mmbench.cli import options
from mmbench.cli.next_step import passed_on

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


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        ([], []),
        (["--arch", "resnet18", "--out", "x"], ["--arch", "resnet18"]),
        (["--size", "0", "--quick"], ["--size", "0", "--quick"]),
        (["--set", "a=1", "--set", "b=2 3"], ["--set", "a=1", "--set", "b=2 3"]),
        (["--seed", "0"], ["--seeds", "0"]),
        (["--seeds", "4"], ["--seeds", "4"]),  # by an alias
        (["--config", "CONFIG"], ["--arch", "vgg11", "--seeds", "7"]),
        (["--config", "CONFIG", "--arch", "resnet18"], ["--arch", "resnet18", "--seeds", "7"]),
    ],
)
def test_options_are_passed_on_as_they_were_given(
    typed: list[str], passed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were typed or are in a file, and no defaults or values of the environment."""
    monkeypatch.setenv("MMBENCH_DATA", "elsewhere")
    found: list[str] = []

    @click.command()
    @options.config()
    @options.arch(default="resnet50")
    @click.option("--size", type=int, default=8)
    @click.option("--quick", is_flag=True)
    @options.data_root()
    @options.overrides()
    @options.seed()
    @options.out()
    def command(**_: object) -> None:
        found.extend(passed_on("arch", "size", "quick", "data_root", "overrides", seed="--seeds"))

    (tmp_path / "c.yaml").write_text("arch: vgg11\nseed: 7\nout: y\n")
    words = [str(tmp_path / "c.yaml") if word == "CONFIG" else word for word in typed]
    command.main(words, standalone_mode=False)
    assert found == passed
