"""What a user states about a checkpoint where the file itself does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Stated:
    """Facts from the command line; they win over what a file seems to say, and the card records that.

    Attributes:
        mean, std: of an image in [0, 1], in the order of `channels`; None leaves it to the file.
        channels: order in which the network expects colours; None leaves it to the file.
        image_size: side in pixels that the network is fed.
        arch_options: how the network is built where names and shapes do not determine it, such as
            {"stem_padding": 2}; see `mmbench.checkpoints.backbone`.
        weights: name of the set of weights to read, of a file that holds several, as `inspect` lists them.
        unit: a phrase: the unit that mean and std were given in.
    """

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channels: Channels | None = None
    image_size: int | None = None
    arch_options: Mapping[str, bool | int] = field(default_factory=dict)
    weights: str | None = None
    unit: str = ""


NOTHING_STATED = Stated()
