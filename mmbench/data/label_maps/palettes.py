"""Colours of labels."""

from __future__ import annotations

from mmbench.data.label_maps.types import IGNORED, Colour


def voc_palette(count: int = IGNORED + 1) -> tuple[Colour, ...]:
    """Return the colours of VOC's labels (VOCcolormap.m of VOC's development kit).

    The bits of a label are dealt to red, green and blue in turn, the lowest ones to the highest bits of the
    colours.
    """

    def channel(label: int, first: int) -> int:
        return sum(((label >> (3 * place + first)) & 1) << (7 - place) for place in range(8))

    return tuple((channel(label, 0), channel(label, 1), channel(label, 2)) for label in range(count))


def packed(colour: Colour) -> int:
    """Return a colour as 0xRRGGBB."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def unpacked(number: int) -> Colour:
    """Return the colour 0xRRGGBB."""
    return number >> 16, number >> 8 & 255, number & 255


def grey(value: int) -> int:
    """Return the colour 0xRRGGBB whose channels are all `value`; -1 where a channel cannot hold it."""
    return 0x010101 * value if 0 <= value <= 255 else -1
