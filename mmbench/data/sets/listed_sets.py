"""Data sets whose authors list images and classes in text files: DTD, Pets, FGVC-Aircraft, Food-101.

torchvision fetches and unpacks them. It would take a byte-order mark for a part of a name, stop at a blank
line, and use an image twice that a list names twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.lists.text_lists import numbered_lines, require_file, require_once, text_of
from mmbench.errors import UserError
from mmbench.file_names import printable

DTD_PARTITION = 1  # of ten; the one that Kornblith et al. 2019 and most papers after them report on


@dataclass(frozen=True)
class Listed:
    """What the authors' list of a part names.

    Attributes:
        images: (path, label) pairs.
        classes: their names, in the order of labels.
    """

    images: tuple[tuple[Path, int], ...]
    classes: tuple[str, ...]


def read_dtd(root: Path, part: str) -> Listed:
    """Read a line such as banded/banded_0002.jpg for each image; classes are sorted by code point.

    Raises:
        UserError: a line that is something else, or an image that is listed twice.
        FileNotFoundError: the list is missing.
    """
    home = root / "dtd" / "dtd"
    listing = home / "labels" / f"{part}{DTD_PARTITION}.txt"
    lines = _lines(
        listing, "a class and a file, as in banded/banded_0002.jpg", lambda line: line.split("/"), 2
    )
    require_once(listing, ((number, "/".join(words)) for number, words in lines))
    classes = sorted({name for _, (name, _) in lines})
    labels = {name: label for label, name in enumerate(classes)}
    images = ((home / "images" / name / file, labels[name]) for _, (name, file) in lines)
    return Listed(tuple(images), tuple(classes))


def read_pets(root: Path, part: str) -> Listed:
    """Read a line such as "Abyssinian_1 1 1 1" for each image: name, breed from 1, species, breed of these.

    Names of classes are torchvision's, "American Bulldog" for american_bulldog_1.

    Raises:
        UserError: a line that is something else, or an image that is listed twice.
        FileNotFoundError: the list is missing.
    """
    home = root / "oxford-iiit-pet"
    listing = home / "annotations" / f"{part}.txt"
    lines = _lines(listing, "a name and three numbers, as in Abyssinian_1 1 1 1", str.split, 4)
    require_once(listing, ((number, words[0]) for number, words in lines))
    breeds: dict[int, str] = {}
    found = []
    for number, (image, breed, *_) in lines:
        if not breed.isdecimal():
            raise UserError(f"{listing}, line {number}: breed '{printable(breed)}' is not a number")
        breeds[int(breed)] = " ".join(word.title() for word in image.rpartition("_")[0].split("_"))
        found.append((home / "images" / f"{image}.jpg", int(breed) - 1))
    return Listed(tuple(found), tuple(breeds[breed] for breed in sorted(breeds)))


def read_aircraft(root: Path, part: str) -> Listed:
    """Read a line such as "1025794 Boeing 717" for each image, and the variants in the order of their list.

    Raises:
        UserError: a line that is something else, an unknown variant, or an image that is listed twice.
        FileNotFoundError: a list is missing.
    """
    data = root / "fgvc-aircraft-2013b" / "data"
    listing, variants = data / f"images_variant_{part}.txt", data / "variants.txt"
    names = [name for _, (name,) in _lines(variants, "a variant", lambda line: [line], 1)]
    lines = _lines(
        listing, "an image and its variant, as in 1025794 Boeing 717", lambda line: line.split(None, 1), 2
    )
    require_once(listing, ((number, image) for number, (image, _) in lines))
    labels = {name: label for label, name in enumerate(names)}
    for number, (_, variant) in lines:
        if variant not in labels:
            raise UserError(
                f"{listing}, line {number}: '{printable(variant)}' is not in {variants.name}; "
                "unpack the archive again"
            )
    images = ((data / "images" / f"{image}.jpg", labels[variant]) for _, (image, variant) in lines)
    return Listed(tuple(images), tuple(names))


def read_food(root: Path, part: str) -> Listed:
    """Read the JSON object from class to images such as apple_pie/1005649; classes sorted by code point.

    Raises:
        FileNotFoundError: the list is missing.
        ValueError, AttributeError, TypeError: it is something else.
    """
    home = root / "food-101"
    listing = require_file(home / "meta" / f"{part}.json")
    content = json.loads(text_of(listing))
    classes = sorted(content.keys())
    images = (
        (home / "images" / f"{image}.jpg", label)
        for label, name in enumerate(classes)
        for image in content[name]
    )
    return Listed(tuple(images), tuple(classes))


def _lines(
    listing: Path, what: str, split: Callable[[str], list[str]], count: int
) -> list[tuple[int, list[str]]]:
    """Return (line number, words) of a list.

    Args:
        what: each line is, for the error message.
        split: cuts a line into words.
        count: how many of them a line has.

    Raises:
        UserError: a line has another number of words, or an empty one.
        FileNotFoundError: the list is missing.
    """
    found = [(number, split(line)) for number, line in numbered_lines(require_file(listing))]
    for number, words in found:
        if len(words) != count or not all(words):
            raise UserError(
                f"{listing}, line {number} is not {what}; put it right, or unpack the archive again"
            )
    return found
