"""The command line: every command loads, bad input ends in one line and exit code 2."""

import importlib

import click
import pytest

from mmbench.cli.commands import COMMANDS, main


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    code, out, _ = run([name, "--help"], capsys)
    assert code == 0 and "Usage: mmbench" in out


def test_unknown_command_gets_a_near_match(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["pretain"], capsys)
    assert code == 2
    assert err.count("\n") == 1 and "did you mean 'pretrain'" in err


def test_unknown_option_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["doctor", "--jsno"], capsys)
    assert code == 2 and "--json" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from mmbench import __version__

    code, out, _ = run(["--version"], capsys)
    assert code == 0 and __version__ in out


def test_our_own_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbench.cli import commands as cli

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli.root, "main", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["doctor"])
