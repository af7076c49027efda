"""Label maps: how the pixels of mask files become labels, and what a label means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mmbench.data.types import Split

IGNORED = 255  # pixels with this label count neither in a loss nor in a metric
MOST_CLASSES = IGNORED  # labels are 8-bit numbers
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Coding:
    """How the pixels of mask files become labels.

    Attributes:
        kind: "values" reads one number per pixel: a palette index, a grey value, or the value that the
            channels of a colour image share. "colours" reads the RGB colour, palettes included.
        labels: such a value, or such a colour as 0xRRGGBB -> label; IGNORED where the pixel does not count.
            Pixels with anything else are not valid.
    """

    kind: Literal["values", "colours"]
    labels: Mapping[int, int]


@dataclass(frozen=True)
class LabelMaps:
    """What the labels of a data set mean. Its class i has label i.

    Attributes:
        palette: a colour per class, in the order of labels.
        background: label of the class that stands for everything else; None where there is none.
    """

    coding: Coding
    palette: tuple[Colour, ...]
    background: int | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its label map, as a layout pairs them.

    Attributes:
        image, label_map: paths below the root; "" where one of them is missing.
        name: what both are called.
    """

    image: str
    label_map: str
    name: str


@dataclass(frozen=True)
class Part:
    """One split as a layout finds it.

    Attributes:
        called: what the files call it.
        files: lists and files of classes that it was read from, below the root.
    """

    split: Split
    called: str
    pairs: tuple[Pair, ...]
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stated:
    """What is known of label maps before one is opened.

    Attributes:
        classes: their names as the files or the user list them, in the order of their values; None where
            they are counted.
        background: the name of the class that stands for everything else: it has value 0 and may be missing
            from `classes`. None where every class counts as one.
        coding, palette: of a published data set, or from a palette file.
    """

    classes: tuple[str, ...] | None = None
    background: str | None = None
    coding: Coding | None = None
    palette: tuple[Colour, ...] = field(default=())
