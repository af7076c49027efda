r"""Text as LaTeX source in ASCII, and how wide it is.

A character that Computer Modern lacks is written by a macro that the file defines: xelatex and lualatex print
it where their font has it; otherwise, and in pdflatex, its code point stands in its place, as in [U+4E2D].
"""

from __future__ import annotations

import unicodedata

# Macros for what has no command: visible characters, and those that are invisible or change their neighbours.
MACROS = (
    r"\providecommand{\mmbenchcode}[1]{\texttt{[U+#1]}}",
    r"\providecommand{\mmbenchglyph}[2]{\ifdefined\Umathcode\iffontchar\font#2 \char#2 \else"
    r"\mmbenchcode{#1}\fi\else\mmbenchcode{#1}\fi}",
)
SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"{\char34}",
    "[": "{[}",  # an option where it begins a row of a table
    "]": "{]}",
    "*": "{*}",
}
GREEK = {
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta",
    "ι": "iota",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "υ": "upsilon",
    "φ": "phi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
    "Γ": "Gamma",
    "Δ": "Delta",
    "Θ": "Theta",
    "Λ": "Lambda",
    "Ξ": "Xi",
    "Π": "Pi",
    "Σ": "Sigma",
    "Φ": "Phi",
    "Ψ": "Psi",
    "Ω": "Omega",
}
LETTERS = {
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "–": "--",
    "—": "---",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\ldots{}",
    "−": "$-$",
    "°": r"$^\circ$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "≠": r"$\ne$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "←": r"$\leftarrow$",
    **{letter: rf"$\{name}$" for letter, name in GREEK.items()},
}
# Combining characters to commands that every font encoding has.
ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0331": "b",
}
BELOW = 0x323  # from here on accents stand below, so that i and j keep their dots
# Widths in em of Computer Modern Roman at 10 points, by class and rounded up; other characters are narrower
# than the class of their kind in `_em`. Smaller sizes are wider in proportion.
CLASSES = {
    **dict.fromkeys("fijl.,:;!'|[]", 0.31),
    **dict.fromkeys("Irt()- ", 0.4),
    **dict.fromkeys("0123456789–", 0.5),
    **dict.fromkeys("acegkoqsvxyz", 0.53),
    **dict.fromkeys("mw%#&@œæ", 0.84),
    **dict.fromkeys("MWŒÆ—", 1.03),
}
CODE_WIDTH = 8 * 0.53
PROPORTIONS = {8: 1.065, 7: 1.14, 6: 1.225}  # of the digits of cmr8, cmr7 and cmr6 to those of cmr10
BOLD = 1.16  # widths of cmbx to those of cmr
LONG_WORD, BREAK = 24, 10  # a line may break after every so many characters of a long word


def escape(text: str) -> str:
    """Return text in ASCII in which no character is read as a command; no two texts become the same.

    >>> escape("50% of a_b")
    '50\\\\% of a\\\\_b'
    """
    return "".join(_escaped(letter, text[:place][-1:]) for place, letter in enumerate(text))


def _escaped(letter: str, before: str) -> str:
    if letter in SPECIAL:
        return SPECIAL[letter]
    if letter in "-,'" and before == letter:
        return rf"{{\kern0pt}}{letter}"  # no ligature
    if letter == " " and before == " ":
        return r"\ "
    if " " <= letter <= "~":
        return letter
    if letter in LETTERS:
        return LETTERS[letter]
    if accented := _accented(letter):
        return accented
    code = f"{ord(letter):04X}"
    combining = unicodedata.category(letter).startswith("M")
    right_to_left = unicodedata.bidirectional(letter) in ("R", "AL", "AN")
    if not letter.isprintable() or combining or right_to_left:
        return rf"\mmbenchcode{{{code}}}"
    return rf"\mmbenchglyph{{{code}}}{{{ord(letter)}}}"


def _accented(letter: str) -> str:
    """Return a Latin letter with an accent as a command; empty for other characters."""
    parts = unicodedata.decomposition(letter).split()
    if len(parts) != 2 or parts[0].startswith("<"):
        return ""
    base, accent = (chr(int(part, 16)) for part in parts)
    if accent not in ACCENTS or not ("a" <= base.lower() <= "z"):
        return ""
    dotless = base in "ij" and ord(accent) < BELOW
    return rf"\{ACCENTS[accent]}{{\{base}}}" if dotless else rf"\{ACCENTS[accent]}{{{base}}}"


def prose(text: str) -> str:
    """Return text as `escape`, with places in long words where a line may break."""
    pieces = []
    for word in text.split(" "):
        step = BREAK if len(word) > LONG_WORD else LONG_WORD
        parts = [word[start : start + step] for start in range(0, len(word), step)]
        pieces.append(r"\allowbreak{}".join(_breakable(part) for part in parts))
    return " ".join(pieces)


def _breakable(text: str) -> str:
    """Return text in which a line may break after each code point that is printed as one."""
    return escape(text).replace(r"\mmbench", r"\allowbreak\mmbench")


def width(text: str, size: int) -> float:
    """Return an upper bound of the width in points of text in Computer Modern Roman of `size` points."""
    return PROPORTIONS[size] * size * sum(map(_em, text))


def _em(letter: str) -> float:
    if letter in CLASSES:
        return CLASSES[letter]
    if "A" <= letter <= "Z" or letter in "~^<>+=…" or (letter in LETTERS and LETTERS[letter].startswith("$")):
        return 1.0 if letter in "→←∞" else 0.79
    if " " <= letter <= "~" or letter in LETTERS:
        return 0.57
    return 0.8 if _accented(letter) else CODE_WIDTH


def wrapped(text: str, size: int, limit: float) -> list[str]:
    """Return the lines of text that is no wider than `limit` points; a word that is longer is cut."""
    lines = [""]
    for word in text.split(" "):
        while True:
            joined = f"{lines[-1]} {word}" if lines[-1] else word
            if width(joined, size) <= limit:
                lines[-1] = joined
                break
            if lines[-1]:
                lines.append("")
                continue
            cut = 1
            while cut < len(word) and width(word[: cut + 1], size) <= limit:
                cut += 1
            after = max(word.rfind(mark, cut // 2, cut) + 1 for mark in "-_/.@")
            cut = after or cut
            lines[-1], word = word[:cut], word[cut:]
            if not word:
                break
            lines.append("")
    return lines
