"""Which label map belongs to which image, where their names differ in what stands before or after.

x.jpg and x.png, x_leftImg8bit.png and x_gtFine_labelTrainIds.png, img_1.jpg and mask_1.png
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

# Runs of digits, capitals, words, and single marks: names are divided between them.
TOKENS = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|[\W_]")
MOST_BEFORE, MOST_AFTER = 4, 10  # tokens that may stand before and after the common part
SAMPLE = 64  # label maps whose names are compared with those of all images
LEAST_SHARE = 0.5  # of the images or label maps, whichever are fewer, that a naming must pair
LEAST_PAIRS = 2  # that words without a known meaning must explain
WITH_DIGITS = re.compile(r"left_?img_?8bit|manual\d|\d+(st|nd|rd)_manual", re.I)
OF_LABEL_MAPS = frozenset(
    {
        *("mask", "masks", "label", "labels", "lbl", "seg", "segmentation", "segm", "gt", "ground", "truth"),
        *("groundtruth", "annotation", "annotations", "ann", "annot", "map", "labelmap", "labelids", "l"),
        *("trainids", "labeltrainids", "fine", "gtfine", "manual", "ids", "train", "target"),
    }
)
OF_IMAGES = frozenset(
    {"img", "image", "images", "im", "rgb", "sat", "photo", "pic", "left", "bit", "leftimg"}
)
# Where an image has several label maps, those of these words are meant, in this order.
PREFERRED = ("labeltrainids", "trainids", "labelids")
DRAWN = re.compile("colou?r|instance|overlay|visuali|panoptic|preview|edge")  # not label maps of classes

Place = tuple[str, ...]  # split and folders in which an image and its label map lie
Placed = tuple[Place, str]  # place and stem
Affix = tuple[str, str]  # before and after the common part


class SeveralNamings(Exception):  # noqa: N818 - a question for whoever knows the folder
    """Each image has several label maps, and their names do not say which of them is meant."""

    def __init__(self, label_maps: Sequence[Affix]) -> None:
        super().__init__()
        self.label_maps = label_maps


@dataclass(frozen=True)
class Naming:
    """What stands before and after the common part of the names."""

    image: Affix = ("", "")
    label_map: Affix = ("", "")

    def of_image(self, stem: str) -> str | None:
        """Return the common part; None where the name is another one."""
        return _core(stem, self.image)

    def of_label_map(self, stem: str) -> str | None:
        """Return the common part; None where the name is another one."""
        return _core(stem, self.label_map)

    def pairs(self, images: Collection[Placed], label_maps: Collection[Placed]) -> int:
        """Return how many images have a label map."""
        of_images = {(place, self.of_image(stem)) for place, stem in images}
        of_maps = {(place, self.of_label_map(stem)) for place, stem in label_maps}
        return len({key for key in of_images & of_maps if key[1] is not None})

    def line(self) -> str:
        """Return the decision in words; empty where names are equal."""
        if self == SAME:
            return ""
        return f"label maps are called {_shown(self.label_map)} where images are called {_shown(self.image)}"


SAME = Naming()


def _core(stem: str, affix: Affix) -> str | None:
    before, after = affix
    fits = stem.startswith(before) and stem.endswith(after) and len(stem) > len(before) + len(after)
    return stem[len(before) : len(stem) - len(after)] if fits else None


def _shown(affix: Affix) -> str:
    return f"{affix[0]}NAME{affix[1]}"


def find_naming(images: Sequence[Placed], label_maps: Sequence[Placed]) -> Naming | None:
    """Return how label maps are called where images are called something; None if no naming pairs them.

    Raises:
        SeveralNamings: several fit, and none of them is known to be meant.
    """
    needed = max(1, LEAST_SHARE * min(len(images), len(label_maps)))
    if SAME.pairs(images, label_maps) >= needed:
        return SAME
    found: list[tuple[int, Naming]] = []
    for naming in _candidates(images, label_maps):
        count = naming.pairs(images, label_maps)
        if count >= needed and (count >= LEAST_PAIRS or _is_known(naming)):
            found.append((count, naming))
    if not found:
        return None
    # The longest common part explains the same pairs with the least.
    image = min((naming for _, naming in found), key=lambda naming: _length(naming.image)).image
    alike = [naming for _, naming in found if naming.image == image]
    chosen = [naming for naming in alike if not DRAWN.search(_letters(naming.label_map))] or alike
    for word in PREFERRED:
        meant = [naming for naming in chosen if _letters(naming.label_map).endswith(word)]
        if len(meant) == 1:
            return meant[0]
    if len(chosen) > 1:
        raise SeveralNamings([naming.label_map for naming in chosen])
    return chosen[0]


def _length(affix: Affix) -> int:
    return len(affix[0]) + len(affix[1])


def _letters(affix: Affix) -> str:
    return re.sub(r"[\W_]+", "", "".join(affix).casefold())


def _candidates(images: Sequence[Placed], label_maps: Sequence[Placed]) -> list[Naming]:
    """Return namings that explain some of the names, the most frequent first."""
    step = max(1, len(label_maps) // SAMPLE)
    wanted: dict[tuple[Place, str], list[Affix]] = {}
    for place, stem in label_maps[::step]:
        for core, affix in _divided(stem):
            wanted.setdefault((place, core), []).append(affix)
    votes: Counter[Naming] = Counter()
    for place, stem in images:
        for core, affix in _divided(stem):
            for other in wanted.get((place, core), ()):
                votes[Naming(affix, other)] += 1
    most = max(votes.values(), default=0)
    often = [naming for naming, count in votes.items() if count >= most / 4]
    return sorted(often, key=lambda naming: (-votes[naming], _length(naming.image)))[:SAMPLE]


def _divided(stem: str) -> Iterator[tuple[str, Affix]]:
    """Yield each way to divide a name into a common part and what may stand around it."""
    ends = [match.end() for match in TOKENS.finditer(stem)]
    starts = [0, *ends[:-1]]
    for start in starts[: MOST_BEFORE + 1]:
        for end in ends[-MOST_AFTER - 1 :]:
            affix = (stem[:start], stem[end:])
            core = stem[start:end]
            if core and core.strip("_-. ") == core and all(map(_may_stand_around, affix)):
                yield core, affix


def _may_stand_around(text: str) -> bool:
    """Return whether something may be what names differ in: numbers are not, as they tell images apart."""
    return not any(character.isdigit() for character in WITH_DIGITS.sub("", text))


def _is_known(naming: Naming) -> bool:
    words = [
        word.casefold()
        for affix in (naming.image, naming.label_map)
        for text in affix
        for word in TOKENS.findall(text)
    ]
    known = OF_IMAGES | OF_LABEL_MAPS
    return all(word in known or not re.sub(r"[\W\d_]+", "", word) for word in words)
