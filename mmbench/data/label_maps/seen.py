"""What all mask files of a data set hold together, whatever their split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mmbench.data.label_maps.mask_files import MaskFacts
from mmbench.data.label_maps.palettes import grey
from mmbench.data.label_maps.pixels import Storage

BINARY = {0, 255}


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
        indices: colour -> its indices in those palettes.
        repeated: whether a palette gives two indices the same colour.
        only_255: the first file, not of 1 bit, that holds 0 and 255 and nothing else.
        both: the first file that holds 1 and 255.
    """

    storages: dict[Storage, str] = field(default_factory=dict)
    bits: dict[int, str] = field(default_factory=dict)
    plain: dict[int, str] = field(default_factory=dict)
    indexed: dict[int, str] = field(default_factory=dict)
    colours: dict[int, str] = field(default_factory=dict)
    palette: dict[int, dict[int, str]] = field(default_factory=dict)
    indices: dict[int, set[int]] = field(default_factory=dict)
    repeated: bool = False
    only_255: str = ""
    both: str = ""

    @property
    def values(self) -> dict[int, str]:
        """Values of all files whose pixels are one number."""
        return self.bits | self.indexed | self.plain

    @property
    def moving(self) -> bool:
        """Whether a colour has another index in another palette, as in palettes that a program computes per
        image: then not the index but the colour is what tells classes apart.
        """
        return (
            not self.repeated
            and any(len(indices) > 1 for indices in self.indices.values())
            and any(len(colours) > 1 for colours in self.palette.values())
        )

    @property
    def palette_colours(self) -> dict[int, str]:
        """Colours that indices stand for, each with the first file that has it."""
        return {colour: path for colours in self.palette.values() for colour, path in colours.items()}


def seen(facts: Mapping[str, MaskFacts | None]) -> Seen:
    """Return what files hold; those that cannot be read are left out."""
    usable = {path: fact for path, fact in facts.items() if fact is not None and fact.usable}
    found = Seen()
    by_colour = any(not fact.grey for fact in usable.values())
    for path, fact in usable.items():
        if fact.storage == "colour" and by_colour:
            found.storages.setdefault("colour", path)
            _first(found.colours, fact.values.tolist(), path)
            continue
        found.storages.setdefault("8-bit grey" if fact.storage == "colour" else fact.storage, path)
        _add_values(found, fact, path)
    return found


def _add_values(found: Seen, fact: MaskFacts, path: str) -> None:
    values = fact.elements.tolist()
    if fact.storage == "1-bit":
        _first(found.bits, values, path)
        return
    if 255 in values:
        found.only_255 = found.only_255 or (path if set(values) == BINARY else "")
        found.both = found.both or (path if 1 in values else "")
    palette = {} if fact.palette is None else dict(zip(values, fact.palette.tolist(), strict=True))
    if all(colour == grey(value) for value, colour in palette.items()):  # a ramp of grey, or no palette
        _first(found.plain, values, path)
        return
    _first(found.indexed, values, path)
    found.repeated |= len(set(palette.values())) < len(palette)
    for value, colour in palette.items():
        found.palette.setdefault(value, {}).setdefault(colour, path)
        found.indices.setdefault(colour, set()).add(value)


def _first(known: dict[int, str], values: Iterable[int], path: str) -> None:
    for value in values:
        known.setdefault(value, path)
