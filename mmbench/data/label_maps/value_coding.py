"""The coding of mask files whose pixels are numbers: grey values and palette indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmbench.data.label_maps.meaning import (
    BACKGROUND,
    Meaning,
    is_background,
    label_maps,
    require_few,
    stated_classes,
)
from mmbench.data.label_maps.palettes import grey
from mmbench.data.label_maps.seen import Seen
from mmbench.data.label_maps.types import IGNORED, Coding, Stated
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable

WIDE_IGNORED = 65535  # the largest value of 16-bit files, as 255 is of 8-bit ones
# Half of 255, rounded down. A class from there on beside 255 is doubtful: greys of a blurred mask, and masks
# that are drawn for the eye (0, 127, 255), look like that.
BRIGHT = 127
ONE_THING = "class 1"


def by_values(where: str, found: Seen, stated: Stated) -> Meaning:
    """Return the meaning of values; what no rule covers is left to the checks of each file.

    Raises:
        UserError: values that can be meant in several ways, or that leave nothing to tell apart.
    """
    names = stated_classes(stated, where)
    values = set(found.values)
    if meaning := _binary(where, found, stated, names, values):
        return meaning
    ignored, remarks = _ignored(where, found, values, names)
    used = sorted(values - ignored)
    if names is None:
        _require_clear(where, found, used)
        classes, labels, more = counted_classes(used)
    else:
        _require_indices(where, found, len(names))
        classes, labels, more = listed_classes(names, stated, used)
    require_few(len(classes), where)
    if values and set(used) <= {0}:
        raise UserError(f"the label maps of {where} hold no class but {_words(values)}; check the files")
    coding = Coding("values", labels | dict.fromkeys((IGNORED, *ignored), IGNORED))
    background = bool(classes) and (classes[0] == stated.background or is_background(classes[0]))
    maps = label_maps(coding, classes, stated, found, background=background)
    return Meaning(classes, maps, (*remarks, *more))


def _binary(
    where: str, found: Seen, stated: Stated, names: tuple[str, ...] | None, values: set[int]
) -> Meaning | None:
    """Return the meaning of masks that hold 0 and one largest value, None if they hold more.

    Raises:
        UserError: one value alone; more than two classes; 1 in some files and 255 in others.
    """
    two = names is None or len(names) <= 2
    others = set(found.indexed | found.plain)
    if two and found.only_255 and others <= {0, 1, IGNORED} and not found.both and 1 in others:
        raise UserError(
            f"some label maps of {where} hold 0 and 1 ({printable(found.values[1])}) and others 0 and 255 "
            f"({printable(found.only_255)}); write one value for one class in all of them"
        )
    largest = max(others, default=0)
    if largest not in (IGNORED, WIDE_IGNORED) or not others <= {0, largest}:
        return None
    if not values <= {0, 1, largest} or (found.bits and not two):
        return None
    if 0 not in values:
        raise UserError(f"the label maps of {where} hold no value but {largest}; check the files")
    if names is not None and not two:
        raise UserError(
            f"the label maps of {where} hold the values 0 and {largest} only, where {len(names)} classes are "
            f"listed; write the values 0 to {len(names) - 1}"
        )
    classes = (BACKGROUND, ONE_THING) if names is None else names if len(names) == 2 else (BACKGROUND, *names)
    labels = {0: 0, largest: 1} | ({1: 1} if found.bits else {})
    remark = f"label maps hold 0 and {largest} only: {largest} is '{classes[1]}', and no pixel is ignored"
    if found.bits:
        remark += "; so is 1 in those of 1 bit"
    background = is_background(classes[0]) or classes[0] == stated.background
    maps = label_maps(Coding("values", labels), classes, stated, found, background=background)
    return Meaning(classes, maps, (remark,))


def _ignored(
    where: str, found: Seen, values: set[int], names: Sequence[str] | None
) -> tuple[set[int], tuple[str, ...]]:
    """Return the values of pixels that do not count, and remarks on them.

    Raises:
        UserError: 255 and 65535 could both be meant.
    """
    if WIDE_IGNORED not in values:
        return {IGNORED} & values, ()
    if IGNORED in values:
        raise UserError(
            f"label maps of {where} hold 255 ({printable(found.values[IGNORED])}) and 65535 "
            f"({printable(found.values[WIDE_IGNORED])}); write 255 where a pixel is ignored"
        )
    others = values - {WIDE_IGNORED}
    if max(others) > (IGNORED - 1 if names is None else len(names)):
        return set(), ()  # refused per file
    return {WIDE_IGNORED}, ("65535 in label maps means that a pixel is ignored",)


def listed_classes(
    names: tuple[str, ...], stated: Stated, used: Sequence[int]
) -> tuple[tuple[str, ...], dict[int, int], tuple[str, ...]]:
    """Return classes, labels and remarks where names are listed: K of them, for values from 0 or from 1."""
    largest = max(used, default=0)
    known = stated.background is not None or is_background(names[0])
    if not known and (len(names) == 1 or largest == len(names)):
        if 0 in used or len(names) == 1:
            remark = f"value 0 of label maps is background, and 1 to {len(names)} are the classes as listed"
            return (BACKGROUND, *names), {label: label for label in range(len(names) + 1)}, (remark,)
        remark = f"label maps hold no 0: their values 1 to {len(names)} are the classes as listed"
        return names, {label + 1: label for label in range(len(names))}, (remark,)
    remarks: tuple[str, ...] = ()
    if not known:
        remarks = (
            f"value 0 of label maps is the class '{names[0]}', as no value is {len(names)}; if it is "
            "background, list that first",
        )
    return names, {label: label for label in range(len(names))}, remarks


def counted_classes(used: Sequence[int]) -> tuple[tuple[str, ...], dict[int, int], tuple[str, ...]]:
    """Return classes, labels and remarks where classes are counted."""
    labels = {value: label for label, value in enumerate(used)}
    classes = tuple(BACKGROUND if value == 0 else f"class {value}" for value in used)
    if not used:
        return classes, labels, ()
    remark = f"{counted(len(classes), 'class')} counted in the label maps, as none are listed: {_words(used)}"
    if 0 in labels:
        remark += ", of which 0 is background"
    return classes, labels, (f"{remark}; values between them do not occur" if _gaps(used) else remark,)


def _require_clear(where: str, found: Seen, used: Sequence[int]) -> None:
    """Check values that are counted.

    Raises:
        UserError: greys that may be those of a blurred mask.
    """
    if _gaps(used) and IGNORED in found.values and BRIGHT <= used[-1] < IGNORED:
        raise UserError(
            f"it is unclear what the values {_words(used)} and 255 of the label maps of {where} mean (such "
            f"as in {printable(found.values[used[-1]])}): classes, or a blurred mask; list the classes"
        )


def _require_indices(where: str, found: Seen, most: int) -> None:
    """Check palettes of grey.

    Args:
        most: the largest value of a class.

    Raises:
        UserError: they hold the values of classes as greys, at other indices.
    """
    greys = {colour: index for index, colours in found.palette.items() for colour in colours}
    if not all(colour in {grey(value) for value in (*range(most + 1), IGNORED)} for colour in greys):
        return
    for colour, index in greys.items():
        value = colour & IGNORED
        if colour != grey(index) and 0 < value <= most:
            place = printable(found.palette[index][colour])
            raise UserError(
                f"in the palette of {place} of {where} index {index} is the grey {value}, so it is unclear "
                f"whether its class is {index} or {value}; save all label maps as grey PNG of values"
            )


def _gaps(used: Sequence[int]) -> bool:
    return bool(used) and list(used) != list(range(used[0], used[0] + len(used)))


def _words(values: Sequence[int] | set[int] | Mapping[int, object]) -> str:
    """Return values in words, such as "0, 1, 3"."""
    return listed([str(value) for value in sorted(values)], 12)
