"""Types of what stands in records and cards: finite numbers, plain text of bounded length, nothing coerced.

A file of records comes from anywhere, and its names end up in paths, tables, pages and LaTeX. So "3" is no
number here, true is not 1, and a name has no character that is not seen or that reorders its neighbours.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, Strict
from pydantic_core import PydanticCustomError

from mmbench.settings.types import LARGEST_SEED

LONGEST_NAME, LONGEST_TEXT = 200, 10_000  # characters
LONGEST_SETTING = 100_000
MOST_ENTRIES = 1000  # metrics, notes, splits, packages of one record
MOST_CLASSES = 100_000  # ImageNet-22k has 21,841
MOST_SETTINGS, DEEPEST_SETTING = 100_000, 20
LARGEST_COUNT = 10**15  # a float holds it exactly, and no data set comes near
LARGEST_SETTING = 2**64
# Control characters, line separators, marks that are not seen or that change the direction of what follows
# (Unicode's bidirectional controls, as in CVE-2021-42574), and surrogates without their other half.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
JOINERS = re.compile("[\u200c\u200d]")  # some scripts need them in words; a name is equal without them
# "\xf1" and the like are how names of files that are not text are written; see `printable`.
SEPARATOR = re.compile(r"/|\\(?!x[0-9a-f]{2}|u[0-9a-f]{4}|[nrt])")
PLAIN = {9: " ", 10: " ", 13: " "}
DATE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)", re.ASCII)


@functools.lru_cache(maxsize=8192)  # the same names stand in thousands of records
def text_problem(text: str, longest: int = LONGEST_TEXT) -> str | None:
    """Return what is wrong with text of a record, None if nothing is.

    >>> text_problem("a\\nb"), text_problem(" a")
    ('has the character U+000A, which is not shown', 'has spaces at its ends')
    """
    if len(text) > longest:
        return f"has {len(text)} characters, more than {longest}"
    if found := UNSEEN.search(text):
        return f"has the character U+{ord(found[0]):04X}, which is not shown"
    if not text or text[0].isspace() or text[-1].isspace():
        return "has spaces at its ends" if text.strip() else "is empty"
    return None


@functools.lru_cache(maxsize=8192)
def name_problem(name: str) -> str | None:
    """Return what is wrong with a name (of an arm, a data set, a metric, a split), None if nothing is.

    >>> name_problem("mixmask"), name_problem("../x")
    (None, "has the separator '/'")
    """
    if problem := text_problem(name, LONGEST_NAME):
        return problem
    if found := SEPARATOR.search(name):
        return f"has the separator '{found[0]}'"
    if found := JOINERS.search(name):
        return f"has the character U+{ord(found[0]):04X}, which is not shown"
    return "consists of dots" if not name.strip(".") else None


def recordable(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return text as a record can hold it: escapes for what is not shown, no outer spaces, not too long.

    >>> recordable(" a\\nb ")
    'a\\\\u000ab'
    """
    shown = UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text.strip()).strip() or "(empty)"
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def _text(value: str) -> str:
    if problem := text_problem(value):
        raise PydanticCustomError("text", "{problem}", {"problem": problem})
    return value


def _name(value: str) -> str:
    if problem := name_problem(value):
        raise PydanticCustomError("name", "{problem}", {"problem": problem})
    return value


def _words(value: str) -> str:
    if value and (problem := text_problem(value)):
        raise PydanticCustomError("text", "{problem}", {"problem": problem})
    return value


def _date(value: Any) -> Any:
    """Refuse what pydantic reads as a date too: seconds since 1970, and dates without a time zone."""
    if not isinstance(value, datetime.datetime) and not (isinstance(value, str) and DATE.fullmatch(value)):
        raise PydanticCustomError("date", "must be a date with its time zone, such as 2026-07-01T12:00:00Z")
    return value


def setting_problem(value: Any, depth: int = 0) -> tuple[str, str] | None:
    """Return the first setting that no record can hold and what is wrong with it, None if there is none.

    Args:
        depth: of the lists and sections around the value.

    >>> setting_problem({"rates": [0.1, float("nan")]})
    ('rates.1', 'is not a finite number')
    """
    if isinstance(value, dict | list | tuple):
        if depth > DEEPEST_SETTING:
            return "", "is nested too deeply"
        if len(value) > MOST_SETTINGS:
            return "", f"has {len(value)} entries, more than {MOST_SETTINGS}"
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict) and (not isinstance(key, str) or text_problem(key)):
                return "", f"has the key {ascii(key)[:80]}, which is not a name"
            if (found := setting_problem(part, depth + 1)) is not None:
                return f"{key}.{found[0]}".rstrip("."), found[1]
        return None
    reason = None
    if isinstance(value, float):
        reason = None if math.isfinite(value) else "is not a finite number"
    elif isinstance(value, int):
        reason = None if abs(value) <= LARGEST_SETTING else "is a number of more than 64 bits"
    elif isinstance(value, str):  # tabs and line breaks are usual
        reason = text_problem(f".{value.translate(PLAIN)}.", LONGEST_SETTING)
    elif value is not None:
        reason = f"is a {type(value).__name__}"
    return None if reason is None else ("", reason)


def _settings(value: dict[str, Any]) -> dict[str, Any]:
    if found := setting_problem(value):
        raise PydanticCustomError(
            "setting", "setting {name} {reason}", {"name": found[0], "reason": found[1]}
        )
    return value


Text = Annotated[str, Strict(), AfterValidator(_text)]
Words = Annotated[str, Strict(), AfterValidator(_words)]  # text that may be empty
Name = Annotated[str, Strict(), AfterValidator(_name)]
Digest = Annotated[str, Strict(), Field(pattern=r"^[0-9a-f]{64}$")]  # SHA-256
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=1, le=LARGEST_COUNT)]
CountOrNone = Annotated[int, Strict(), Field(ge=0, le=LARGEST_COUNT)]
Seed = Annotated[int, Strict(), Field(ge=0, le=LARGEST_SEED)]
Finite = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Percent = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0, le=100)]
Duration = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0)]  # seconds
Rate = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=0)]
Date = Annotated[AwareDatetime, BeforeValidator(_date)]
Settings = Annotated[dict[str, Any], AfterValidator(_settings)]
