"""Command-line options that state what a checkpoint does not; every command that reads one has them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, get_args

import click

from mmbench.checkpoints.stated import Channels, Stated
from mmbench.errors import UserError

LARGEST = 255.0


# Parameters of what a checkpoint does not state, for commands that suggest another one.
STATING = ("arch", "image_size", "weights", "mean", "std", "channels", "arch_options")


class CommaOption(click.Option):
    """An option of several values with commas between them; a --config file may hold them as a list."""

    commas = True


def three_numbers(text: str | None, option: str) -> tuple[float, float, float] | None:
    """Return the numbers of a text such as "0.5,0.5,0.5" or "123.7,116.3,103.5".

    Raises:
        UserError: not three finite numbers, or out of range.
    """
    if text is None:
        return None
    try:
        values = [float(part) for part in text.replace(" ", ",").split(",") if part]
    except ValueError:
        values = []
    if len(values) != 3 or not all(math.isfinite(v) and 0 <= v <= LARGEST for v in values):
        raise UserError(
            f"{option} {text[:40]} is not valid; give three numbers from 0 to 255, such as 0.5,0.5,0.5"
        )
    return values[0], values[1], values[2]


def stated_from(
    weights: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    channels: Channels | None = None,
    image_size: int | None = None,
    arch_options: Iterable[str] = (),
) -> Stated:
    """Return what the options state; mean and std in [0, 1], whichever unit they were given in.

    Where a value is above 1, both are of an image of 0 to 255: Caffe's networks have a mean near 110, std 1.

    Raises:
        UserError: a value that is not valid, or a mean without a std.
    """
    means, stds = three_numbers(mean, "--mean"), three_numbers(std, "--std")
    if (means is None) != (stds is None):
        raise UserError("--mean and --std go together; give both")
    unit = ""
    if means is not None and stds is not None:
        unit = "given in [0, 1]"
        if min(stds) <= 0:
            raise UserError(f"--std {std} is not valid; every value must be above 0")
        if 0 < max(means) <= 1 < max(stds):
            raise UserError(f"--mean {mean} is of images in [0, 1], --std {std} of 0 to 255; use one unit")
        if max(*means, *stds) > 1:
            unit = "given of 0 to 255"
            means = means[0] / LARGEST, means[1] / LARGEST, means[2] / LARGEST
            stds = stds[0] / LARGEST, stds[1] / LARGEST, stds[2] / LARGEST
    options: dict[str, Any] = {}
    if arch_options:
        from mmbench.checkpoints.networks.options import parse_arch_options  # imports timm

        options = parse_arch_options(arch_options)
    return Stated(
        mean=means,
        std=stds,
        channels=channels,
        image_size=image_size,
        weights=weights,
        arch_options=options,
        unit=unit,
    )


WEIGHTS = click.option(
    "--weights",
    metavar="PATH.IN.FILE",
    help="Set of weights to read, where a file holds several; see inspect.",
)
MEAN = click.option(
    "--mean",
    cls=CommaOption,
    metavar="A,B,C",
    help="Mean that images are normalised with, in [0, 1] or of 0 to 255.",
)
STD = click.option(
    "--std", cls=CommaOption, metavar="A,B,C", help="Standard deviation, in the unit of --mean."
)
CHANNELS = click.option(
    "--channels", type=click.Choice(get_args(Channels)), help="Order of colours that the network expects."
)
SIZE = click.option(
    "--image-size", type=click.IntRange(8, 8192), help="Pixels a side that the network is fed."
)
ARCH_OPTION = click.option(
    "--arch-option",
    "arch_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="How the network is built where names and shapes do not determine it: stem_padding (1, 2), "
    "stem_pool, early_stride (true, false), output_stride (8, 16, 32); repeatable.",
)


def of_a_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `stating_options` but --image-size, which it has itself."""
    return _stating(command, (ARCH_OPTION, CHANNELS, STD, MEAN, WEIGHTS), sized=False)


def stating_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that state facts of a checkpoint; it gets `stated`."""
    return _stating(command, (ARCH_OPTION, SIZE, CHANNELS, STD, MEAN, WEIGHTS), sized=True)


def _stating(command: Callable[..., Any], options: tuple[Any, ...], *, sized: bool) -> Callable[..., Any]:
    """Give a command the options, the last one first in its help.

    Args:
        sized: whether --image-size is among them, and is not the command's own.
    """

    @functools.wraps(command)
    def wrapped(
        *arguments: Any,
        weights: str | None,
        mean: str | None,
        std: str | None,
        channels: Channels | None,
        arch_options: tuple[str, ...],
        **others: Any,
    ) -> Any:
        image_size = others.pop("image_size") if sized else None
        stated = stated_from(weights, mean, std, channels, image_size, arch_options)
        return command(*arguments, stated=stated, **others)

    for option in options:
        wrapped = option(wrapped)
    return wrapped
