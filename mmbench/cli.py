"""The `mmbench` command. Subcommands are named here and imported only when they are run."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from mmbench.errors import UserError, unknown_name
from mmbench.version import __version__

# command -> ("module:attribute", one line of help). The modules import torch; this table does not.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("mmbench.tools.demo.command:demo", "Embedded data, pretraining, transfer, leaderboard: all."),
    "data": ("mmbench.tools.data:data", "Prepare, check and show data sets."),
    "pretrain": ("mmbench.pretrain.command:pretrain", "Pretrain a backbone without labels."),
    "preview": ("mmbench.tools.preview:preview", "Draw what a method does to images."),
    "inspect": ("mmbench.tools.inspect:inspect", "Tell what a checkpoint holds."),
    "convert": ("mmbench.tools.convert:convert", "Convert a checkpoint and prove that nothing was lost."),
    "transfer": ("mmbench.transfer.command:transfer", "Measure how a checkpoint transfers to a task."),
    "leaderboard": ("mmbench.leaderboard.command:leaderboard", "Turn result records into a leaderboard."),
    "doctor": ("mmbench.tools.doctor:doctor", "Check this installation and say how to mend it."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command; an unknown one gets a near match."""
        if cmd_name not in COMMANDS:
            raise unknown_name("command", cmd_name, COMMANDS)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their one line of help, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mmbench")
def root() -> None:
    """Does this pretraining transfer?

    Pretrain ConvNets without labels, convert checkpoints with proof, transfer them to classification,
    detection and segmentation, and rank them against a baseline.
    """


def main(arguments: Sequence[str] | None = None, **extra: Any) -> None:
    """Run the command line; bad input ends in one line and exit code 2, our own bugs in a traceback."""
    try:
        code = root.main(args=arguments, prog_name="mmbench", standalone_mode=False, **extra)
    except UserError as error:
        click.echo(f"mmbench: error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("mmbench: stopped; run the same command again to go on", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
