"""The coding of mask files whose pixels are colours, and which palette explains them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from mmbench.data.file_names import printable
from mmbench.data.label_maps.meaning import (
    BACKGROUND,
    Meaning,
    is_background,
    label_maps,
    require_few,
    shown_palette,
    stated_classes,
)
from mmbench.data.label_maps.palettes import grey, packed, unpacked, voc_palette
from mmbench.data.label_maps.pixels import mask_pixels
from mmbench.data.label_maps.seen import Seen
from mmbench.data.label_maps.types import IGNORED, Coding, Stated
from mmbench.errors import UserError

VOC_LABELS = 21  # background and VOC's classes
HOW = "add a file labelmap.txt with a line per class, such as 'cat:255,0,0'"


def needs_colours(found: Seen, stated: Stated) -> bool:
    """Return whether colours, and not values, say what pixels are.

    They do in colour images, in palette files whose palettes move, and where the stated colours explain
    every pixel and the values do not.
    """
    if found.colours or found.moving:
        return True
    if not stated.palette or not found.values:
        return False
    wanted = {packed(colour): label for label, colour in enumerate(stated.palette)}
    greys = {value: grey(value) for value in found.plain}
    if not set(found.palette_colours) | set(greys.values()) <= set(wanted) or found.bits:
        return False
    indices = {value: colour for value, colours in found.palette.items() for colour in colours}
    return any(wanted[colour] != value for value, colour in (*greys.items(), *indices.items()))


def by_colours(root: Path, where: str, found: Seen, stated: Stated) -> Meaning:
    """Return the meaning of colours; a stated palette may leave some to the checks of each file.

    Raises:
        UserError: no palette explains the colours.
    """
    names = stated_classes(stated, where)
    colours = found.colours | found.palette_colours
    if stated.palette:
        names, table, remark = _stated(names, stated, colours)
    else:
        names, table, remark = _known(root, where, found, names, colours)
    require_few(len(names), where)
    table = _with_values(where, found, table, len(names))
    background = is_background(names[0]) or names[0] == stated.background
    maps = label_maps(Coding("colours", table), names, stated, None, background=background)
    remarks = [f"the colours of label maps are read by {remark}"]
    if len(found.storages) > 1:
        kinds = [f"{kind} ({printable(path)})" for kind, path in found.storages.items()]
        remarks.append(f"label maps are stored in several ways: {', '.join(kinds)}")
    return Meaning(names, maps, tuple(remarks))


def _stated(
    names: tuple[str, ...] | None, stated: Stated, colours: Mapping[int, str]
) -> tuple[tuple[str, ...], dict[int, int], str]:
    """Return classes, the table, and what it is from, where colours are stated."""
    names = names or tuple(f"class {label}" for label in range(len(stated.palette)))
    palette, remark = stated.palette, "the listed colours"
    if len(palette) == len(names) and 0 in colours and (0, 0, 0) not in palette and stated.background is None:
        names, remark = (BACKGROUND, *names), f"{remark}; black, which is not listed, is background"
    palette = shown_palette(len(names), palette) or palette
    return names, {packed(colour): label for label, colour in enumerate(palette)}, remark


def _known(
    root: Path, where: str, found: Seen, names: tuple[str, ...] | None, colours: Mapping[int, str]
) -> tuple[tuple[str, ...], dict[int, int], str]:
    """Return classes, the table, and what it is from, where no colours are stated.

    Raises:
        UserError: neither the palette of a file nor VOC's explains them.
    """
    voc = {packed(colour): label for label, colour in enumerate(voc_palette(len(names or ()) or VOC_LABELS))}
    voc[packed(voc_palette()[IGNORED])] = IGNORED
    tables = {"VOC's colours": voc}
    if found.palette and not found.moving:
        path = next(iter(next(iter(found.palette.values())).values()))
        table = _of_file(root / path)
        tables = {f"the palette of {printable(path)}": table, **tables}
    for what, table in tables.items():
        if set(colours) <= set(table):
            if names is None:
                return *_counted(table, colours), f"{what}, and the classes are counted"
            if all(table[colour] in (*range(len(names)), IGNORED) for colour in colours):
                return (
                    names,
                    {c: label for c, label in table.items() if label in range(len(names))}
                    | {c: label for c, label in table.items() if label == IGNORED},
                    what,
                )
    unknown = next((colour for colour in colours if colour not in voc), next(iter(colours)))
    place = f"{unpacked(unknown)} in {printable(colours[unknown])}"
    if found.moving:
        raise UserError(
            f"the palettes of the label maps of {where} number the same colours differently (such as "
            f"{place}), so the colours must be listed; {HOW}"
        )
    raise UserError(f"no palette explains the colours of the label maps of {where}, such as {place}; {HOW}")


def _of_file(path: Path) -> dict[int, int]:
    """Return colour -> index of a palette file; the first index where one has several."""
    with Image.open(path) as image:
        palette = mask_pixels(image).palette
    table: dict[int, int] = {}
    for index, colour in enumerate([] if palette is None else palette.tolist()):
        table.setdefault(colour, index)
    return table


def _counted(table: Mapping[int, int], colours: Mapping[int, str]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Return names of the classes that occur, and their table."""
    used = sorted({table[colour] for colour in colours} - {IGNORED})
    labels = {value: label for label, value in enumerate(used)}
    names = tuple(BACKGROUND if value == 0 else f"class {value}" for value in used)
    ignored = {colour: IGNORED for colour, value in table.items() if value == IGNORED}
    return names, {c: labels[value] for c, value in table.items() if value in labels} | ignored


def _with_values(where: str, found: Seen, table: Mapping[int, int], count: int) -> dict[int, int]:
    """Return a table of colours that covers grey files too: by their colours, or else by their values.

    Raises:
        UserError: some of their values are listed colours and others are not.
    """
    plain = found.bits | found.plain
    listed = {value for value in plain if grey(value) in table}
    if listed - {0} and set(plain) - listed - {IGNORED}:
        value = min(set(plain) - listed - {IGNORED})
        raise UserError(
            f"{printable(plain[value])} of {where} has the grey value {value}, which is not that of a listed "
            "colour as others are; write all label maps in one way"
        )
    if listed - {0}:
        return dict(table)
    greys = {grey(value): value for value in range(count) if value in plain}
    return {grey(IGNORED): IGNORED, **greys, **table} if plain else dict(table)
