"""Lists of files in any common form: encodings, line ends, quotes, backslashes, further columns."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from mmbench.errors import UserError
from mmbench.file_names import printable

# A BOM of UTF-32 begins with that of UTF-16, so it is looked for first.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
BOM = "\ufeff"
SEPARATORS = ",;\t"
# Names of columns in tables of images; a first line of only these is a header.
LABELS = frozenset({"label", "labels", "class", "classes", "category", "target", "split"})
HEADERS = LABELS | {
    *("file", "files", "filename", "file_name", "filepath", "file_path", "path", "image"),
    *("images", "image_id", "image_name", "image_path", "img", "id", "name", "index"),
}
Found = TypeVar("Found", bound=Hashable)


def decoded(content: bytes, errors: str = "strict") -> str:
    """Return the text of a file in UTF-8, UTF-16 or UTF-32, without the byte-order mark at its beginning.

    UTF-16 and UTF-32 have a mark; UTF-16 without one is told by its zero bytes.

    Args:
        errors: what becomes of bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        UnicodeError: it is not text.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return content.decode(encoding)
    if b"\0" in content:  # UTF-16 without a mark: every second byte of ASCII is zero
        even, odd = content[0::2].count(0), content[1::2].count(0)
        if 4 * max(even, odd) < len(content) or min(even, odd) * 10 > max(even, odd):
            raise UnicodeError("it is not a text file")
        return content.decode("utf-16-le" if odd > even else "utf-16-be")
    return content.decode("utf-8", errors).removeprefix(BOM)


def text_of(path: Path) -> str:
    """Return the text of a file in any of the encodings of `decoded`.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return decoded(path.read_bytes())
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be read ({error.strerror})") from None
    except UnicodeError:
        raise UserError(f"{printable(path)} is not text in UTF-8 or UTF-16; save it as UTF-8") from None


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """Return (line number, line) of a text file: no blank lines, outer blanks or byte-order marks.

    Raises:
        UserError: it cannot be read.
    """
    lines = [line.replace(BOM, "").strip() for line in text_of(path).splitlines()]
    return [(number, line) for number, line in enumerate(lines, 1) if line]


def require_file(path: Path) -> Path:
    """Return the path of a file.

    Raises:
        FileNotFoundError: it is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return path


def require_once(listing: Path, named: Iterable[tuple[int, str]]) -> None:
    """Check that a list of (line number, image) names each image once.

    Raises:
        UserError: it names one twice; both lines are given.
    """
    lines: dict[str, int] = {}
    for number, image in named:
        if lines.setdefault(image, number) != number:
            raise UserError(
                f"{listing}, line {number}: '{printable(image)}' is in line {lines[image]} too; each "
                "image has one line, so remove one of them"
            )


def read_items(path: Path, what: str) -> list[tuple[int, str]]:
    """Return (line number, item) of a list; blank lines and lines that begin with # are left out.

    Encodings are those of `decoded`; byte-order marks in the middle, as in lists that were joined, are
    dropped. Bytes that are not UTF-8 are kept as file names have them (PEP 383). The header
    of a table is left out, and so are the columns that it calls labels.

    Args:
        what: the list is, for error messages: "list of labelled images".

    Raises:
        UserError: the file is missing, is not a text file or lists nothing.
    """
    try:
        text = decoded(path.read_bytes(), "surrogateescape")
    except (OSError, UnicodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error
        raise UserError(f"the {what} {printable(path)} cannot be read ({reason})") from None
    items = [(number, line.replace(BOM, "").strip()) for number, line in enumerate(text.splitlines(), 1)]
    items = [(number, item) for number, item in items if item and not item.startswith("#")]
    if items and (header := _header(items[0][1])):
        items = [(number, _without_labels(item, header)) for number, item in items[1:]]
    if not items:
        raise UserError(f"the {what} {printable(path)} is empty; write one image name or index per line")
    return items


def _header(item: str) -> list[str]:
    """Return the names of columns that a line holds, none where it holds anything else."""
    words = [word.strip(" \"'").casefold() for word in _columns(item)]
    return words if set(words) <= HEADERS else []


def _without_labels(item: str, header: list[str]) -> str:
    """Return a line of a table without the columns of labels, where others are left."""
    columns = _columns(item)
    kept = [column for column, name in zip(columns, header, strict=False) if name not in LABELS]
    if len(columns) != len(header) or len(kept) in (0, len(columns)):
        return item
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(kept)
    return line.getvalue() if len(kept) > 1 else kept[0]


def _columns(item: str) -> list[str]:
    """Return the columns of a line of a table, unquoted; the line itself where it has one."""
    separator = next((mark for mark in SEPARATORS if mark in item), None)
    if separator is None:
        return [item]
    return next(csv.reader([item], delimiter=separator, skipinitialspace=True), [item])


def spellings(item: str) -> Iterator[str]:
    """Yield what a line can mean, the most literal first.

    That is the line, without quotes, with "/" for back-slashes, its columns, and what stands before a label.

    >>> list(spellings("cat/1.png 0"))
    ['cat/1.png 0', 'cat/1.png']
    """
    seen = set()
    unquoted = item[1:-1].strip() if len(item) > 1 and item[0] == item[-1] and item[0] in "\"'" else item
    before, blank, last = unquoted.rpartition(" ")
    columns = [unquoted, *_columns(item)]
    if blank and last.lstrip("-").isdecimal():  # "n01440764/n01440764_10026.JPEG 0"
        columns.append(before.strip())
    for text in (item, *(column.strip() for column in columns)):
        for spelling in (text, text.replace("\\", "/")):
            if spelling and spelling not in seen:
                seen.add(spelling)
                yield spelling


def resolve(line: str, find: Callable[[str], Sequence[Found]], where: str) -> list[Found]:
    """Return what a line names, by the first of its spellings that is known.

    Args:
        find: returns all that one spelling can mean.
        where: file and line, for the error message.

    Raises:
        UserError: columns of the line name different things.
    """
    unquoted = line.strip("\"'")
    whole = (line, unquoted, line.replace("\\", "/"), unquoted.replace("\\", "/"))
    if len(_columns(line)) > 1 and not any(map(find, whole)):
        known = [found for column in _columns(line) if (found := _first(column, find))]
        common = [one for one in known[0] if all(one in found for found in known)] if known else []
        if known and not common:
            raise UserError(
                f"{where}: '{printable(line)}' names several images; write one per line, or a header such as "
                "'path,label' above a table"
            )
        return common
    return _first(line, find)


def _first(text: str, find: Callable[[str], Sequence[Found]]) -> list[Found]:
    return list(next(filter(None, map(find, spellings(text))), []))
