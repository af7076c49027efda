"""Tables as CSV: full precision, and no text that a spreadsheet program would run as a formula."""

from __future__ import annotations

import re

import pandas as pd

# A text that begins with one of these is read as a formula by spreadsheet programs (OWASP, CSV injection,
# https://owasp.org/www-community/attacks/CSV_Injection; the wide forms count in East Asian locales).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
QUOTE = "'"  # put in front, so that the cell is text
# Fields of a CSV text: quoted ones, and others that hold what some programs take for the separator instead of
# the comma: the semicolon in locales with decimal commas, the tab in text that is pasted.
FIELD = re.compile(r'"[^"]*(?:""[^"]*)*"|[^",\n]*[;\t][^",\n]*')
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV; numbers keep the digits that read back to the same float.

    Text that begins like a formula gets a single quote in front, and so does text that begins with a
    single quote, so that taking one off gives the text back. Numbers, also those held as text, stay.
    Text with a semicolon or a tab is quoted, which changes nothing for those who read it at the commas; where
    a program separates at them instead, only the first field of a line, the row's name, stays whole by that.
    """
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            changed = {value: _no_formula(value) for value in safe[name].unique()}
            if any(new is not value for value, new in changed.items()):
                safe[name] = safe[name].map(changed.get)
    safe.columns = pd.Index([_no_formula(name) for name in safe.columns])
    text: str = safe.to_csv(index=False, lineterminator="\n")
    if ";" not in text and "\t" not in text:
        return text
    return FIELD.sub(lambda field: field[0] if field[0].startswith('"') else f'"{field[0]}"', text)


def _no_formula(value: object) -> object:
    """Return a text so that no program reads it as a formula; anything else as it is.

    >>> _no_formula("=1+1"), _no_formula("-0.5"), _no_formula("mixmask")
    ("'=1+1", '-0.5', 'mixmask')
    """
    if isinstance(value, str) and value.startswith((*FORMULA, QUOTE)) and not NUMBER.fullmatch(value):
        return QUOTE + value
    return value
