"""Which keypoints change places when an image is mirrored, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mmbench.file_names import listed

OPPOSITE = {"left": "right", "right": "left", "l": "r", "r": "l"}
LETTERS = ("l", "r")
BESIDE_LETTERS = {"l", "r", "c", "m"}  # centre and middle; with any other letter, names are a, b, c, ...
SIDE = re.compile("left|right")
BOUNDARY = re.compile(  # eyeL, LEye, L1, 1L
    r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\d_A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"
)
MOST_PAIRS = 12  # that a line names

Words = tuple[str, ...]


@dataclass(frozen=True)
class Mirrors:
    """What a mirrored image does to the names of its keypoints.

    Attributes:
        names: of all keypoints.
        pairs: left and right ones that change places.
        one_sided: those whose name has a side, and whose partner is not among the names.
    """

    names: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    one_sided: tuple[str, ...]

    @property
    def repeated(self) -> tuple[str, ...]:
        """Names that several keypoints have."""
        return tuple(dict.fromkeys(name for name in self.names if self.names.count(name) > 1))

    @property
    def known(self) -> bool:
        """Whether the names say which keypoints change places; a single one without a side does not."""
        return not (self.one_sided or self.repeated) and (bool(self.pairs) or len(self.names) < 2)

    def remarks(self) -> tuple[str, ...]:
        """Return a line on what the names say, where there are keypoints that could change places."""
        lines = []
        if self.pairs:
            pairs = [f"{left} and {right}" for left, right in self.pairs]
            lines.append(f"keypoints that change places in mirrored images: {listed(pairs, MOST_PAIRS)}")
        if self.repeated:
            lines.append(
                f"keypoints of one name: {listed(self.repeated)}; they are told apart by their places, so "
                "all files must list the names in the same order, and a training on keypoints does not "
                "mirror images"
            )
        if self.one_sided:
            lines.append(
                f"keypoints with a side and without a partner: {listed(self.one_sided)}; a training on "
                "keypoints does not mirror images"
            )
        elif not (self.known or self.repeated):
            lines.append(
                f"no left and right among the keypoints ({listed(self.names)}); a training on keypoints does "
                "not mirror images"
            )
        return tuple(lines)


def mirrors_of(names: Sequence[str]) -> Mirrors:
    """Return what the names of keypoints say about mirrored images.

    Left and right may be in any case, words of their own or parts of one, or the letters L and R as words of
    their own: left_eye, Left Eye, LeftEye, lefteye, l_eye, eye.L, LEye, lEye.

    >>> mirrors_of(["nose", "L_eye", "R_eye"]).pairs
    (('L_eye', 'R_eye'),)
    >>> mirrors_of(["nose", "left_eye"]).one_sided
    ('left_eye',)
    """
    words = {name: _words(name) for name in names}
    by_words: dict[Words, list[str]] = {}
    for name, found in words.items():
        by_words.setdefault(found, []).append(name)
    partners: dict[str, str] = {}
    one_sided = []
    for name, found in words.items():
        swapped = list(_swapped(found, list(by_words)))
        fitting = [by_words[other] for other in swapped if len(by_words.get(other, ())) == 1]
        if fitting:
            partners[name] = fitting[0][0]
        elif any(word in OPPOSITE or word.startswith(("left", "right")) for word in found) and swapped:
            one_sided.append(name)
    pairs = [
        (name, partner)
        for name, partner in partners.items()
        if partners.get(partner) == name and _is_left(words[name], words[partner])
    ]
    return Mirrors(tuple(names), tuple(pairs), tuple(one_sided))


def _words(name: str) -> Words:
    """Return the words of a name in lower case.

    >>> _words("LEye.inner2"), _words("LEFT_EYE"), _words("kp1")
    (('l', 'eye', 'inner', '2'), ('left', 'eye'), ('kp', '1'))
    """
    return tuple(word for word in re.split(r"[\W_]+", BOUNDARY.sub(" ", name).lower()) if word)


def _swapped(words: Words, others: Sequence[Words]) -> Iterator[Words]:
    """Yield what the mirrored keypoint may be called, the likeliest first; nothing if the name has no side.

    Args:
        others: the words of all keypoints.
    """
    changes: tuple[Callable[[int, str], str], ...] = (
        lambda _, word: OPPOSITE[word] if word in OPPOSITE and word not in LETTERS else word,
        lambda _, word: SIDE.sub(lambda side: OPPOSITE[side[0]], word),
        lambda place, word: OPPOSITE[word] if word in LETTERS and _is_side(words, place, others) else word,
    )
    for change in changes:
        changed = tuple(change(place, word) for place, word in enumerate(words))
        if changed != words:
            yield changed


def _is_side(words: Words, place: int, others: Sequence[Words]) -> bool:
    """Return whether a letter is a side: not where names go on from a to z."""
    alike = {
        other[place]
        for other in others
        if len(other) == len(words)
        and other[:place] + other[place + 1 :] == words[:place] + words[place + 1 :]
        and len(other[place]) == 1
        and other[place].isalpha()
    }
    return alike <= BESIDE_LETTERS


def _is_left(words: Words, partner: Words) -> bool:
    """Return whether the first difference of two names that mirror each other is the left side."""
    first = next(one for one, other in zip(words, partner, strict=True) if one != other)
    found = SIDE.search(first)
    return (found[0] if found else first) in ("left", "l")
