"""The coding of mask files whose pixels are colours, and which palette explains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from mmbench.data.label_maps.meaning import (
    BACKGROUND,
    Meaning,
    is_background,
    label_maps,
    require_few,
    stated_classes,
)
from mmbench.data.label_maps.palettes import grey, packed, unpacked, voc_palette
from mmbench.data.label_maps.pixels import mask_pixels
from mmbench.data.label_maps.seen import Seen
from mmbench.data.label_maps.types import IGNORED, Coding, Stated
from mmbench.data.label_maps.value_coding import counted_classes, listed_classes
from mmbench.errors import UserError
from mmbench.file_names import printable

VOC_LABELS = 21  # background and VOC's classes
VOC_BORDER = 0xE0E0C0  # label 255
HOW = "add a file labelmap.txt with a line per class, such as 'cat:255,0,0'"


@dataclass(frozen=True)
class _Table:
    """What colours mean.

    Attributes:
        colours: as 0xRRGGBB -> label.
        values: of grey files beside them -> label.
        remarks: the first says what the table is from.
    """

    classes: tuple[str, ...]
    colours: dict[int, int]
    values: Mapping[int, int]
    remarks: tuple[str, ...]


def needs_colours(found: Seen, stated: Stated) -> bool:
    """Return whether colours, and not values, say what pixels are.

    They do in colour images, in palette files whose palettes move, and where listed colours contradict the
    indices of palette files or explain greys that are no labels.
    """
    if found.colours or found.moving:
        return True
    if not stated.palette:
        return False
    palette = stated.palette
    if (0, 0, 0) not in palette and 0 in (*found.palette_colours, *found.plain):
        palette = ((0, 0, 0), *palette)
    wanted = {packed(colour): label for label, colour in enumerate(palette)}
    if any(
        wanted.get(colour, value) != value and value != IGNORED
        for value, colours in found.palette.items()
        for colour in colours
    ):
        return True
    greys = {value: grey(value) for value in found.plain}
    return all(colour in wanted for colour in greys.values()) and any(
        wanted[colour] != value for value, colour in greys.items()
    )


def by_colours(root: Path, where: str, found: Seen, stated: Stated) -> Meaning:
    """Return the meaning of colours; a stated palette may leave some to the checks of each file.

    Raises:
        UserError: no palette explains the colours, or one does not tell indices apart.
    """
    if found.alike:
        raise UserError(
            f"label maps of {where} are read by their colours, and the palette of {printable(found.alike)} "
            "gives several indices one colour; save it with the colours of the others"
        )
    names = stated_classes(stated, where)
    colours = found.colours | found.palette_colours | ({0: found.plain[0]} if 0 in found.plain else {})
    if stated.palette:
        table = _stated(where, names, stated, colours, found)
    else:
        table = _known(root, where, found, stated, names, colours)
    classes = table.classes
    require_few(len(classes), where)
    first = {label: unpacked(colour) for colour, label in reversed(table.colours.items())}
    palette = tuple(first[label] for label in range(len(classes)) if label in first)
    coding = Coding("colours", _with_values(where, found, table))
    background = is_background(classes[0]) or classes[0] == stated.background
    maps = label_maps(coding, classes, replace(stated, palette=palette), None, background=background)
    remarks = list(table.remarks)
    if len(found.storages) > 1:
        kinds = [f"{kind} ({printable(path)})" for kind, path in found.storages.items()]
        remarks.append(f"label maps are stored in several ways: {', '.join(kinds)}")
    return Meaning(classes, maps, tuple(remarks))


def _stated(
    where: str, names: tuple[str, ...] | None, stated: Stated, colours: Mapping[int, str], found: Seen
) -> _Table:
    """Return the table of listed colours.

    Raises:
        UserError: there is not a colour for each class.
    """
    names = names or tuple(f"class {label}" for label in range(len(stated.palette)))
    remark = "the colours of label maps are read as listed"
    if len(stated.palette) == len(names) and 0 in colours and (0, 0, 0) not in stated.palette:
        names, remark = (BACKGROUND, *names), f"{remark}; black, which is not listed, is background"
    added = len(names) - len(stated.palette)
    if added not in (0, 1):
        raise UserError(
            f"{where} lists {len(stated.palette)} colours for {len(names)} classes; list one for each"
        )
    table = {packed(colour): label for label, colour in enumerate(stated.palette, start=added)}
    if added:
        table.setdefault(0, 0)
    for colour in found.palette.get(IGNORED, ()):
        table.setdefault(colour, IGNORED)
    if VOC_BORDER in found.colours and VOC_BORDER not in table:
        table[VOC_BORDER] = IGNORED
        remark += f"; {unpacked(VOC_BORDER)}, which is not listed, is ignored as in VOC"
    return _Table(names, table, {label: label for label in range(len(names))}, (remark,))


def _known(
    root: Path,
    where: str,
    found: Seen,
    stated: Stated,
    names: tuple[str, ...] | None,
    colours: Mapping[int, str],
) -> _Table:
    """Return the table of a palette file, or else of VOC, where no colours are listed.

    Raises:
        UserError: neither explains them.
    """
    most = VOC_LABELS if names is None else min(len(names) + 1, IGNORED)
    voc = {packed(colour): label for label, colour in enumerate(voc_palette(most))} | {VOC_BORDER: IGNORED}
    tables = {"VOC's colours": voc}
    if found.palette and not found.moving:
        path = next(iter(next(iter(found.palette.values())).values()))
        shown = {
            colour: index for index in sorted(found.palette, reverse=True) for colour in found.palette[index]
        }
        tables = {f"the palette of {printable(path)}": _of_file(root / path) | shown, **tables}
    for what, table in tables.items():
        if not set(colours) <= set(table):
            continue
        used = sorted({table[colour] for colour in colours} - {IGNORED})
        classes, labels, more = (
            counted_classes(used) if names is None else listed_classes(names, stated, used)
        )
        if set(used) <= set(labels):
            chosen = {colour: labels[value] for colour, value in table.items() if value in labels}
            ignored = {colour: IGNORED for colour, value in table.items() if value == IGNORED}
            remark = f"the colours of label maps are read by {what}"
            return _Table(classes, chosen | ignored, labels, (remark, *more))
    unknown = next((colour for colour in colours if colour not in voc), next(iter(colours)))
    place = f"{unpacked(unknown)} in {printable(colours[unknown])}"
    if found.moving:
        places = [f"{unpacked(colour)} in {printable(path)}" for colour, path in found.moving.items()][:2]
        raise UserError(
            f"palettes of the label maps of {where} give one index several colours ({' and '.join(places)}), "
            f"so indices are no classes; {HOW}, or save all as grey PNG of values"
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


def _with_values(where: str, found: Seen, table: _Table) -> dict[int, int]:
    """Return a table of colours that covers grey files too: by their colours, or else by their values.

    Raises:
        UserError: some of their values are listed colours and others are not.
    """
    plain = found.bits | found.plain
    listed = {value for value in plain if grey(value) in table.colours} - {0}
    others = set(plain) - listed - {0, IGNORED}
    if listed and others:
        value = min(others)
        raise UserError(
            f"{printable(plain[value])} of {where} has the grey value {value}, which is not that of a listed "
            "colour as others are; write all label maps in one way"
        )
    if listed or not plain:
        return table.colours
    greys = {grey(value): label for value, label in table.values.items() if value in plain}
    return {grey(IGNORED): IGNORED, **greys, **table.colours}
