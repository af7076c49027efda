"""Names of files and folders, of any bytes, as text that can be printed, plotted and stored."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

# Endings of the files that are taken for images, in lower case: those that torchvision's ImageFolder takes.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def printable(name: str | Path) -> str:
    r"""Return `name` with everything that cannot be printed written as an escape.

    Bytes that are not UTF-8, which Python holds as lone surrogates (PEP 383), become `\xe9`; line breaks and
    other control characters become `\n`, `\x1b` and the like. Other names stay as they are.

    >>> printable("ni\udcf1o\n")
    'ni\\xf1o\\n'
    """
    text = str(name)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character


def composed(name: str) -> str:
    """Return `name` in Unicode's composed form (NFC), in which two spellings of one accent are equal."""
    return unicodedata.normalize("NFC", name)


def counted(count: int, noun: str) -> str:
    """Return "1 image" or "3 images".

    >>> counted(1, "class"), counted(2, "class")
    ('1 class', '2 classes')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}es" if noun.endswith("s") else f"{count} {noun}s"


def listed(names: list[str] | tuple[str, ...], limit: int = 3) -> str:
    """Return the first few names, printable and comma-separated, with "..." if there are more."""
    shown = ", ".join(printable(name) for name in names[:limit])
    return f"{shown}, ..." if len(names) > limit else shown


def stored_name(name: str) -> str:
    r"""Return a name of any bytes as text that every file can hold, and that no other name has.

    Names in UTF-8 without a backslash, which nearly all are, stay as they are. In others a byte that is not
    UTF-8 becomes `\xe9`, and a backslash becomes two. `original_name` returns the name itself.

    >>> stored_name("cat/niño 1.jpg"), stored_name("ni\udcf1o.jpg")
    ('cat/niño 1.jpg', 'ni\\xf1o.jpg')
    """
    doubled = name.replace("\\", "\\\\")
    return "".join(
        f"\\x{ord(letter) - 0xDC00:02x}" if "\udc80" <= letter <= "\udcff" else letter for letter in doubled
    )


def original_name(stored: str) -> str:
    r"""Return the name that `stored_name` returned this text for.

    >>> original_name("ni\\xf1o.jpg") == "ni\udcf1o.jpg"
    True
    """
    return re.sub(
        r"\\(?:\\|x([0-9a-f]{2}))",
        lambda found: chr(0xDC00 + int(found[1], 16)) if found[1] else "\\",
        stored,
    )
