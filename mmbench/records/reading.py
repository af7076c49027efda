"""One record from its file: parsed, compared with its digest, checked; or refused in one line.

The files of many records have equal parts, such as the card of the weights. `written_record` parses and
checks each different text of such a part once.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from mmbench.checkpoints.card import ModelCard
from mmbench.environment import Provenance
from mmbench.errors import UserError, one_line, shown
from mmbench.records.record import DAMAGED, SCHEMA_VERSION, DatasetReference, LabelSubset, Result
from mmbench.verification import DIGEST, content_digest

LARGEST_FILE = 2**25  # bytes; a record of 21,841 classes has 1.5 MB
# Models within a record. Many records share them, so they are checked once too.
SHARED_MODELS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {"model": ModelCard, "dataset": DatasetReference, "provenance": Provenance, "labels": LabelSubset}
)
REQUIRED = {"created", "schema_version"}  # a new record takes them from now, a file has to state them
OWN = tuple(f'{name}": ' for name in ("created", "metrics", "wall_seconds"))  # not shared
LONGEST_SHARED = 10_000  # characters
MOST_SHARED = 2**14  # different texts that are kept
BEGIN, BETWEEN, END = '{\n  "', ',\n  "', "\n}"  # around the parts of a JSON object with an indent of 2


def result_in(path: Path) -> Result:
    """Return the record in a file.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the file is not JSON, is damaged, or is not a record of schema version 1.
    """
    try:
        content = _content(path)
        if (found := written_record(content)) is not None:
            return found
        values = _parsed(content)
        stated = values.pop(DIGEST, None)
        result = Result.model_validate(values)
        damaged = stated is not None and stated != content_digest(values)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{one_line(str(path))} is not a result record of schema version {SCHEMA_VERSION}: "
            f"{first_reason(error)}; move it out of the results folder"
        ) from None
    if damaged:
        raise UserError(f"{one_line(str(path))} is {DAMAGED}; restore it, or delete it and measure it again")
    return result


@dataclass(frozen=True, slots=True)
class _Part:
    """One field of a record.

    Attributes:
        value: as a record takes it: a checked model, or what JSON has.
        digested: the field as the digest is computed over it.
    """

    name: str
    value: Any
    digested: str


def written_record(content: bytes) -> Result | None:
    """Return the record in a file that `ResultStore.write` wrote; None of any other file, and for any fault.

    The text is divided where a line begins with two blanks and a name. Every piece has to be one field, so
    that the whole is an object of these fields, whatever stands in them. A faulty file is left to the reader
    that says what is wrong.
    """
    try:
        text = content.decode().rstrip(" \t\r\n")
        if not (text.startswith(BEGIN) and text.endswith(END)):
            return None
        *pieces, last = text[len(BEGIN) : -len(END)].split(BETWEEN)
        parts = [
            _part(piece) if piece.startswith(OWN) or len(piece) > LONGEST_SHARED else _shared(piece)
            for piece in pieces
        ]
        fields = {part.name: part for part in parts}
        if len(fields) < len(parts) or not fields.keys() >= REQUIRED:
            return None
        digested = ", ".join([fields[name].digested for name in sorted(fields)])
        if last != f'{DIGEST}": "{hashlib.sha256(f"{{{digested}}}".encode()).hexdigest()}"':
            return None
        return Result.model_validate({name: part.value for name, part in fields.items()})
    except (ValueError, RecursionError):
        return None


def _part(piece: str) -> _Part:
    """Return the field of a piece of text such as `seed": 0`.

    Raises:
        ValueError: it is not exactly one field, has a key twice, or is a part that a record cannot have.
        RecursionError: it is nested without end.
    """
    ((name, value),) = _DECODER.decode(f'{{"{piece}}}').items()  # a ValueError where there are more
    digested = f"{_encode(name)}: {_encode(value)}"
    model = SHARED_MODELS.get(name)
    return _Part(name, value if model is None or value is None else model.model_validate(value), digested)


_shared = functools.lru_cache(MOST_SHARED)(_part)


def _content(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no file, cannot be read, or is larger than any record.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise ValueError("the file: its name is not UTF-8") from None
    try:
        # Without waiting: a pipe with the name of a record would be waited for.
        with io.FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("the file: it is not a regular file")
            if status.st_size > LARGEST_FILE:
                raise ValueError(f"the file: it is larger than {LARGEST_FILE >> 20} MiB")
            return stream.readall()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"the file: it cannot be read ({error.strerror})") from None


def _parsed(content: bytes) -> dict[str, Any]:
    """Return the JSON object of a record, with a digest or without.

    Raises:
        ValueError: it is not one, or has a key twice.
        RecursionError: it is nested without end.
    """
    if content.startswith(b"\xef\xbb\xbf"):
        raise ValueError("the file: it begins with a byte order mark; save it as UTF-8 without one")
    try:
        values = _DECODER.decode(content.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"the file: it is not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the file: it is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"the file: it holds a {type(values).__name__}, not a JSON object")
    if absent := sorted(REQUIRED - values.keys()):
        raise ValueError(f"{absent[0]}: is missing")
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{one_line(twice, 80)}: stands there twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)
_encode = json.JSONEncoder(sort_keys=True).encode  # as `content_digest` does


def first_reason(error: Exception) -> str:
    """Return the first thing that is wrong with a record, in one line: which field, and why."""
    if isinstance(error, RecursionError):
        return "the file: it is nested too deeply"
    if not isinstance(error, ValidationError):
        return one_line(str(error), 300)
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"] if part != "[key]") or "the file"
    reason = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    held = f" ({shown(first['input'], 60)})" if first["type"] != "missing" and first["loc"] else ""
    return one_line(f"{where}: {reason}{held}", 400)
