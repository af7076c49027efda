"""Names as they are drawn: short enough for a figure, and in characters that its font has."""

from __future__ import annotations

import functools
from pathlib import Path

LONGEST = 34  # characters; the middle of a longer name is left out
BOX = "\N{WHITE SQUARE}"  # drawn for a character without a glyph


@functools.cache
def drawable() -> frozenset[int]:
    """Return the code points that DejaVu Sans, which matplotlib comes with, has in regular and in bold."""
    import matplotlib
    from matplotlib.font_manager import get_font

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    regular, bold = (
        set(get_font(str(folder / f"{name}.ttf")).get_charmap()) for name in ("DejaVuSans", "DejaVuSans-Bold")
    )
    return frozenset(regular & bold)


def shortened(text: str, longest: int = LONGEST) -> str:
    """Return text of at most `longest` characters; of a longer one both ends.

    >>> shortened("a name with a long end (224 px)", 20)
    'a name with…(224 px)'
    """
    if len(text) <= longest:
        return text
    end = longest * 2 // 5
    return f"{text[: longest - end - 1].rstrip()}…{text[len(text) - end :].lstrip()}"


class Labels:
    """The texts of one figure: what the PNG shows, and what the SVG shows in its place.

    A browser has fonts for what DejaVu Sans lacks, so the SVG keeps every visible character. Two different
    texts are never drawn alike: the second gets a number.
    """

    def __init__(self) -> None:
        self._drawn: dict[str, str] = {}  # text to what is drawn
        self._shown: dict[str, str] = {}  # what is drawn to what the SVG shows

    def of(self, text: str, longest: int = LONGEST) -> str:
        """Return how `text` is drawn."""
        if text in self._drawn:
            return self._drawn[text]
        shown = shortened("".join(letter if letter.isprintable() else BOX for letter in text), longest)
        drawn = "".join(letter if ord(letter) in drawable() else BOX for letter in shown)
        mark, number = "", 1
        while drawn + mark in self._shown:
            number += 1
            mark = f" #{number}"
        self._drawn[text], self._shown[drawn + mark] = drawn + mark, shown + mark
        return drawn + mark

    def replaced(self) -> dict[str, str]:
        """Return the drawn texts that an SVG shows in other characters."""
        return {drawn: shown for drawn, shown in self._shown.items() if drawn != shown}
