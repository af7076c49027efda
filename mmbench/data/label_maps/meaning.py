"""What labels mean: classes, palette and background, from what is stated and what mask files hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmbench.data.annotated.split_checks import require_distinct
from mmbench.data.label_maps.palettes import unpacked, voc_palette
from mmbench.data.label_maps.seen import Seen
from mmbench.data.label_maps.types import MOST_CLASSES, Coding, Colour, LabelMaps, Stated
from mmbench.errors import UserError
from mmbench.file_names import counted, printable

BACKGROUND = "background"


@dataclass(frozen=True)
class Meaning:
    """How the mask files of a data set are read.

    Attributes:
        classes: in the order of labels.
        remarks: a line for each decision that a person should know.
    """

    classes: tuple[str, ...]
    maps: LabelMaps
    remarks: tuple[str, ...] = ()


def is_background(name: str) -> bool:
    """Return whether a class is called background."""
    return name.strip("_ ").casefold() == BACKGROUND


def stated_classes(stated: Stated, where: str) -> tuple[str, ...] | None:
    """Return the stated classes with the stated background as the first one, None if classes are counted.

    Raises:
        UserError: a background that is not the first class; a name twice; too many.
    """
    if stated.classes is None:
        return None
    names = stated.classes
    if stated.background is not None and stated.background not in names:
        names = (stated.background, *names)
    if stated.background is not None and names[0] != stated.background:
        raise UserError(
            f"'{printable(stated.background)}' has value 0 and is not first in {where}; list it first"
        )
    require_distinct(names, where)
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise UserError(
            f"the class '{printable(twice)}' of {where} is listed twice; every class needs one name"
        )
    require_few(len(names), where)
    return names


def require_few(count: int, where: str) -> None:
    """Check the number of classes.

    Raises:
        UserError: there are more than labels of 8 bits can tell apart.
    """
    if count > MOST_CLASSES:
        raise UserError(
            f"{where} has {counted(count, 'class')}, and label maps can have {MOST_CLASSES}; merge some, or "
            "check that the masks hold classes and not numbers of objects"
        )


def label_maps(
    coding: Coding, classes: Sequence[str], stated: Stated, found: Seen | None, *, background: bool
) -> LabelMaps:
    """Return label maps with a colour per class: as stated, as in palettes of the files, or VOC's.

    Args:
        found: None where no file was opened.
        background: whether label 0 is that of the background.
    """
    palette = _shown(len(classes), stated.palette)
    if not palette and found is not None and coding.kind == "values":
        palette = _of_files(coding.labels, len(classes), found)
    return LabelMaps(coding, palette or voc_palette(len(classes)), 0 if background else None)


def _shown(count: int, stated: Sequence[Colour]) -> tuple[Colour, ...]:
    """Return the stated colours, with one more for a background that they lack; () if they do not fit."""
    if len(stated) == count - 1:
        return (next(colour for colour in voc_palette() if colour not in stated), *stated)
    return tuple(stated) if len(stated) == count else ()


def _of_files(labels: Mapping[int, int], count: int, found: Seen) -> tuple[Colour, ...]:
    """Return the colours of palette files, () unless they give each class its own."""
    colours = {
        labels[value]: unpacked(next(iter(seen_colours)))
        for value, seen_colours in found.palette.items()
        if value in labels
    }
    if any(label not in colours for label in range(count)):
        return ()
    chosen = tuple(colours[label] for label in range(count))
    return chosen if len(set(chosen)) == count else ()
