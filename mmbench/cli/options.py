"""Options that several commands share: each is declared once, with its spelling, type, range and help.

A command picks what it needs, and may change whatever `click.option` takes:

    from mmbench.cli import options

    @click.command(epilog="Example: mmbench thing --data patterns --seeds 0,1")
    @options.config()                       # --config FILE: values of the options below, see config_file
    @options.checkpoint(required=True)      # -> checkpoint: str
    @options.data(required=True)            # -> data: str
    @options.tasks()                        # -> tasks: tuple[str, ...]   --task knn,linear or repeated
    @options.overrides()                    # -> overrides: tuple[str, ...]   --set NAME=VALUE
    @options.out(default=Path("results"), help="Folder of the records.")
    def thing(checkpoint: str, ...) -> None: ...

An option of one command alone uses the same classes: `click.option("--new", cls=Option, aliases=("--old",))`
accepts `--old` too and shows only `--new`; `cls=ListOption` takes commas as well as repetition. `names=`, a
function that returns names (`TASKS.names`), ends the help with the choices of a registry; it is called only
when help is shown. The module is light: it imports click and the ranges of the settings, and never torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from mmbench.cli.config_file import read_config
from mmbench.cli.paths import Place
from mmbench.cli.values import SeedNumber, Spellings, WholeNumber
from mmbench.settings.types import (
    LARGEST_IMAGE,
    LARGEST_SEED,
    MOST_EPOCHS,
    MOST_THREADS,
    MOST_WORKERS,
)

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]


SEED = SeedNumber(0, LARGEST_SEED)
THREADS = WholeNumber(1, MOST_THREADS)
WORKERS = WholeNumber(0, MOST_WORKERS)
EPOCHS = WholeNumber(1, MOST_EPOCHS)
IMAGE_SIZE = WholeNumber(8, LARGEST_IMAGE)
PRECISION = Spellings(
    {"float32": ("fp32",), "bfloat16": ("bf16",), "float16": ("fp16", "half")},
)
FOLDER = Place(file_okay=False)
FILE = Place(dir_okay=False)


class Option(click.Option):
    """An option with hidden aliases, and with choices from a registry in its help.

    Args:
        aliases: other spellings, such as those of earlier versions; accepted, not shown.
        names: returns the names of a registry; called when help is shown.
        merged: of a repeatable option, values of a --config file stay beside those of the command line.
    """

    def __init__(
        self,
        declarations: Sequence[str],
        *,
        aliases: Sequence[str] = (),
        names: Callable[[], Iterable[str]] | None = None,
        merged: bool = False,
        **attributes: Any,
    ) -> None:
        super().__init__(declarations, **attributes)
        self.aliases = tuple(aliases)
        self.names = names
        self.merged = merged

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser accept the aliases too."""
        shown = self.opts
        self.opts = [*shown, *self.aliases]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the spelling and the help, with the names of the registry at its end."""
        stated = self.help
        if self.names is not None:
            self.help = f"{stated or ''} One of: {', '.join(self.names())}.".lstrip()
        try:
            return super().get_help_record(ctx)
        finally:
            self.help = stated

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Return the value and where it is from: command line, --config file, environment, default."""
        value, source = super().consume_value(ctx, opts)
        stated = (ctx.default_map or {}).get(str(self.name))
        if stated is None:
            return value, source
        if source is ParameterSource.ENVIRONMENT:
            return stated, ParameterSource.DEFAULT_MAP
        if self.merged and source is ParameterSource.COMMANDLINE:
            return (*stated, *value), source
        return value, source


class ListOption(Option):
    """An option with several values: separated by commas, or repeated. None may be given twice.

    Args:
        whole: give the texts as they were typed, for names that may have commas and are known only to the
            command, which calls `separated`.
    """

    def __init__(self, declarations: Sequence[str], *, whole: bool = False, **attributes: Any) -> None:
        super().__init__(declarations, multiple=True, **attributes)
        self.whole = whole

    def type_cast_value(self, ctx: click.Context, value: Any) -> tuple[Any, ...]:
        """Return the values.

        Raises:
            click.BadParameter: one is empty, is not valid, or is given twice.
        """
        texts = [value] if isinstance(value, str) else list(value or ())
        parts = [part.strip() for text in texts for part in ([text] if self.whole else str(text).split(","))]
        if "" in parts:
            raise click.BadParameter("there is an empty value between the commas", ctx, self)
        values = tuple(self.type(part, self, ctx) for part in parts)
        for position, found in enumerate(values):
            if found in values[:position]:
                raise click.BadParameter(f"{found} is given twice", ctx, self)
        return values


def _shared(*declarations: str, cls: type[Option] = Option, **usual: Any) -> Callable[..., Decorator[Any]]:
    """Return a function that makes the option's decorator; its keywords take the place of the usual ones."""

    def option(**changed: Any) -> Decorator[Any]:
        return click.option(*declarations, **{"cls": cls, **usual, **changed})

    return option


config = _shared(
    "--config",
    type=Place(),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    metavar="FILE",
    help="YAML file with values of these options; the command line wins over it.",
)
config_path = _shared(  # for a command that reads the file itself
    "--config",
    type=Place(),
    metavar="FILE",
    help="YAML file with settings of this run; the command line wins over it.",
)

# What is measured, on what, and how.
checkpoint = _shared("--checkpoint", help="Run folder, checkpoint file, or the name of weights or a control.")
data = _shared("--data", help="Data set, or path of a folder of images.")
layout = _shared(
    "--layout",
    type=click.Choice(["coco", "voc", "yolo", "mmseg", "masks", "folder"]),
    help="How a folder of your own is laid out; `folder` is one folder per class. Default: recognised.",
)
data_root = _shared(
    "--data-root",
    aliases=("--root",),
    type=FOLDER,
    default=Path("data"),
    show_default=True,
    envvar="MMBENCH_DATA",
    show_envvar=True,
    help="Folder with one folder per data set.",
)
arch = _shared("--arch", help="timm name of the backbone.")
image_size = _shared("--image-size", type=IMAGE_SIZE, help="Pixels a side that the backbone is fed.")
tasks = _shared("--task", "tasks", cls=ListOption, aliases=("--tasks",), help="Tasks, such as knn,linear.")
protocols = _shared(
    "--protocol",
    "protocols",
    cls=ListOption,
    aliases=("--protocols",),
    help="Ids such as linear/moco@1, or protocol files. Default: each task's own.",
)
methods = _shared(
    "--method",
    "methods",
    cls=ListOption,
    aliases=("--methods", "--arm", "--arms"),
    show_default=True,
    help="Pretraining methods, separated by commas.",
)
splits = _shared(
    "--split",
    "splits",
    cls=ListOption,
    aliases=("--splits",),
    type=click.Choice(["train", "val", "test"]),
    help="Splits: train, val, test.",
)
epochs = _shared("--epochs", type=EPOCHS, help="Epochs.")
overrides = _shared(
    "--set",
    "overrides",
    multiple=True,
    merged=True,
    metavar="NAME=VALUE",
    help="Change a setting; repeatable.",
)

# Seeds: `--seeds` where several runs follow, `--seed` where there is one.
seeds = _shared(
    "--seeds",
    cls=ListOption,
    aliases=("--seed",),
    type=SEED,
    default=("0",),
    metavar="N,N,...",
    help="Seeds, separated by commas. Default: 0.",
)
seed = _shared("--seed", aliases=("--seeds",), type=SEED, default=0, show_default=True, help="Random seed.")

# The machine.
device = _shared("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
threads = _shared("--threads", type=THREADS, help="CPU threads. Default: torch's choice.")
workers = _shared("--workers", type=WORKERS, help="Processes that read images. Default: one per core.")
precision = _shared(
    "--precision",
    type=PRECISION,
    default="float32",
    show_default=True,
    help="Precision of the backbone, by autocast.",
)

# Files.
out = _shared("--out", type=FOLDER, help="Folder to write.")
out_file = _shared("--out", type=FILE, help="File to write.")
bank = _shared(
    "--bank",
    type=FOLDER,
    default=Path("features"),
    show_default=True,
    help="Folder that stores frozen features, which later runs on the same weights reuse.",
)
no_bank = _shared("--no-bank", is_flag=True, help="Store no features.")
bank_dtype = _shared(
    "--bank-dtype",
    type=Spellings({"float32": ("fp32",), "float16": ("fp16", "half")}),
    default="float32",
    show_default=True,
    help="Type of the stored features; float16 halves the bank.",
)
as_json = _shared("--json", "as_json", is_flag=True, help="Print JSON.")
as_csv = _shared("--csv", "as_csv", is_flag=True, help="Print CSV.")
