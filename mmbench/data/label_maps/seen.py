"""What all mask files of a data set hold together, whatever their split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mmbench.data.label_maps.mask_files import MaskFacts
from mmbench.data.label_maps.palettes import grey
from mmbench.data.label_maps.pixels import Storage
from mmbench.data.label_maps.types import IGNORED

BINARY = {0, IGNORED}


@dataclass
class Seen:
    """Values and colours of the mask files that can be read, each with the first file that has it.

    Attributes:
        storages: how files store pixels; if all colour images have equal channels, they count as 8-bit grey.
        bits: values of 1-bit files.
        plain: values of grey files.
        indexed: values of palette files.
        colours: of colour images, as 0xRRGGBB.
        palette: index -> the colours that palettes give it; ramps of grey are left out.
        shown: the same with ramps of grey, and without IGNORED: what an index stands for.
        alike: the first palette file in which a colour cannot tell indices apart: all of several have one
            colour, or IGNORED has that of another.
        only_255: the first file, not of 1 bit, that holds 0 and 255 and nothing else.
        both: the first file that holds 1 and 255.
    """

    storages: dict[Storage, str] = field(default_factory=dict)
    bits: dict[int, str] = field(default_factory=dict)
    plain: dict[int, str] = field(default_factory=dict)
    indexed: dict[int, str] = field(default_factory=dict)
    colours: dict[int, str] = field(default_factory=dict)
    palette: dict[int, dict[int, str]] = field(default_factory=dict)
    shown: dict[int, dict[int, str]] = field(default_factory=dict)
    alike: str = ""
    only_255: str = ""
    both: str = ""

    @property
    def values(self) -> dict[int, str]:
        """Values of all files whose pixels are one number."""
        return self.bits | self.indexed | self.plain

    @property
    def moving(self) -> Mapping[int, str]:
        """The colours of an index that has several, as in palettes that a program computes per image: then
        not the index but the colour is what tells classes apart. Empty if each index has one.
        """
        return next((colours for _, colours in sorted(self.shown.items()) if len(colours) > 1), {})

    @property
    def palette_colours(self) -> dict[int, str]:
        """Colours that indices stand for, each with the first file that has it."""
        palettes = (*self.palette.values(), *(self.shown.values() if self.moving else ()))
        return {colour: path for colours in palettes for colour, path in colours.items()}


def seen(facts: Mapping[str, MaskFacts | None]) -> Seen:
    """Return what files hold; those that cannot be read are left out."""
    usable = {path: fact for path, fact in facts.items() if fact is not None and fact.usable}
    found = Seen()
    by_colour = any(not fact.grey for fact in usable.values())
    without_palette: dict[int, str] = {}
    for path, fact in usable.items():
        if fact.storage == "colour" and by_colour:
            found.storages.setdefault("colour", path)
            _first(found.colours, fact.values.tolist(), path)
            continue
        found.storages.setdefault("8-bit grey" if fact.storage == "colour" else fact.storage, path)
        _add_values(found, fact, path)
        if fact.palette is None and fact.storage != "1-bit":
            _first(without_palette, fact.elements.tolist(), path)
    _add_greys(found, without_palette)
    return found


def _add_values(found: Seen, fact: MaskFacts, path: str) -> None:
    values = fact.elements.tolist()
    if fact.storage == "1-bit":
        _first(found.bits, values, path)
        return
    if IGNORED in values:
        found.only_255 = found.only_255 or (path if set(values) == BINARY else "")
        found.both = found.both or (path if 1 in values else "")
    palette = {} if fact.palette is None else dict(zip(values, fact.palette.tolist(), strict=True))
    is_ramp = all(colour == grey(value) for value, colour in palette.items())  # or there is no palette
    _first(found.plain if is_ramp else found.indexed, values, path)
    others = {colour for value, colour in palette.items() if value != IGNORED}
    blank = len(palette) > 1 and len(set(palette.values())) == 1  # says nothing
    if blank or palette.get(IGNORED) in others:
        found.alike = found.alike or path
    if blank:
        return
    for value, colour in palette.items():
        if not is_ramp:
            found.palette.setdefault(value, {}).setdefault(colour, path)
        if value != IGNORED:
            found.shown.setdefault(value, {}).setdefault(colour, path)


def _add_greys(found: Seen, without_palette: Mapping[int, str]) -> None:
    """Add greys of files without a palette to `shown` where all palettes are of grey: programs that shrink
    files turn grey values into indices.
    """
    if all(colour == grey(colour & 255) for colours in found.palette.values() for colour in colours):
        for value in set(found.palette) & set(without_palette) - {IGNORED}:
            found.shown[value].setdefault(grey(value), without_palette[value])


def _first(known: dict[int, str], values: Iterable[int], path: str) -> None:
    for value in values:
        known.setdefault(value, path)
