"""Messages know whether the command that runs has an option."""

import click
from click.testing import CliRunner

from mmbench.offered import command_has


def test_a_command_has_its_own_options_alone() -> None:
    found: dict[str, bool | None] = {}

    def look(ctx: click.Context, param: click.Parameter, value: str) -> str:
        found["while parsing"] = command_has("skip_invalid")
        return value

    @click.group()
    @click.option("--verbose", is_flag=True)
    def group(verbose: bool) -> None:
        pass

    @group.command()
    @click.option("--first", callback=look, is_eager=True)
    @click.option("--skip-invalid", is_flag=True)
    def inner(first: str, skip_invalid: bool) -> None:
        found["own"] = command_has("skip_invalid")
        found["of the group"] = command_has("verbose")
        found["unknown"] = command_has("layout")

    assert CliRunner().invoke(group, ["--verbose", "inner", "--first", "x"]).exit_code == 0
    assert found == {"while parsing": True, "own": True, "of the group": False, "unknown": False}
    assert command_has("skip_invalid") is None
