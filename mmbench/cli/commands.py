"""The `mmbench` command. Its subcommands are listed here and imported only when they are run."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mmbench.errors import UserError, one_line, unknown_name
from mmbench.faults import BAD_INPUT, MACHINE, fault_of
from mmbench.launched import launched_rank
from mmbench.one_call import one_call
from mmbench.version import __version__

STOPPED = 130  # the convention of shells: 128 + SIGINT

# command -> ("module:attribute", one line of help). The modules import torch; this table does not.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("mmbench.tools.demo.command:demo", "Run the whole pipeline on embedded data."),
    "data": ("mmbench.tools.data:data", "List, prepare, check and show data sets."),
    "pretrain": ("mmbench.pretrain.command:pretrain", "Pretrain a backbone without labels."),
    "preview": ("mmbench.tools.preview:preview", "Draw the views and masks of a method."),
    "inspect": ("mmbench.tools.inspect_checkpoint:inspect", "Describe a checkpoint."),
    "convert": ("mmbench.tools.convert:convert", "Convert a checkpoint and verify the result."),
    "transfer": ("mmbench.transfer.command:transfer", "Measure how a checkpoint transfers to tasks."),
    "watch": ("mmbench.tools.watch:watch", "Measure a pretraining while it runs."),
    "embed": ("mmbench.transfer.embed_command:embed_command", "Write the features of images to a file."),
    "reproduce": ("mmbench.tools.reproduce:reproduce", "Run a record again and compare."),
    "results": ("mmbench.tools.results:results", "List and show result records."),
    "leaderboard": ("mmbench.leaderboard.command:leaderboard", "Build a leaderboard from result records."),
    "suite": (
        "mmbench.tools.suite.command:suite",
        "Plan and run a whole benchmark.",
    ),
    "doctor": ("mmbench.tools.doctor:doctor", "Check your installation and suggest fixes."),
}


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command; the error about an unknown one suggests a near match."""
        if cmd_name not in COMMANDS:
            raise unknown_name("command", cmd_name, COMMANDS)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with one line of help each, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mmbench")
def root() -> None:
    """Does this pretraining transfer?

    Pretrain ConvNets without labels, convert and verify checkpoints, transfer them to classification,
    detection and segmentation, and rank them against a baseline.
    """


def main(arguments: Sequence[str] | None = None, **extra: Any) -> None:
    """Run the command line and exit with the code of the command.

    Bad input ends in one line and exit code 2, a fault of the machine (a full disk, no memory) in one line
    and exit code 1, Ctrl-C in exit code 130, a bug of mmbench in a traceback. MMBENCH_TRACEBACK=1 shows the
    traceback of faults too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    code = _run(arguments, extra)
    sys.exit(_flush(code))


def _run(arguments: Sequence[str] | None, extra: dict[str, Any]) -> int:
    """Run the command line and return its exit code."""
    try:
        with one_call():
            code = root.main(args=arguments, prog_name="mmbench", standalone_mode=False, **extra)
    except UserError as error:
        return error.exit_code if error.told_elsewhere else _complain(f"error: {error}", error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return BAD_INPUT
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        hint = f" (see {command} --help)" if command else ""
        return _complain(f"error: {error.format_message()}{hint}", BAD_INPUT)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _complain("interrupted; run the same command again to continue", STOPPED)
    except BrokenPipeError:  # the reader of the output is gone, as with `head`
        return MACHINE
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception as error:
        fault = fault_of(error)
        if fault is None or os.environ.get("MMBENCH_TRACEBACK"):
            raise
        return _complain(f"error: {fault.words}", fault.exit_code)
    return code if isinstance(code, int) else 0


def _complain(message: str, code: int) -> int:
    """Print one line to stderr, where that is possible, and return the exit code.

    Of several processes all but the first say which they are.
    """
    rank = 0
    with contextlib.suppress(UserError):
        rank = launched_rank()
    name = f"mmbench (process {rank})" if rank else "mmbench"
    with contextlib.suppress(OSError):
        click.echo(one_line(f"{name}: {message}"), err=True)
    return code


def _flush(code: int) -> int:
    """Flush what was printed; output that cannot be written is a fault, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            if stream is sys.stdout and not isinstance(error, BrokenPipeError) and code == 0:
                _complain(f"error: the output cannot be written ({error.strerror})", MACHINE)
            with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())  # otherwise Python reports it again at exit
            code = code or MACHINE
    return code
