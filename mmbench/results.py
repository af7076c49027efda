"""ResultStore: a folder of records. What a record holds is in `mmbench.record`."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmbench.checkpoints.card import ModelCard
from mmbench.errors import UserError, one_line, shown
from mmbench.files import safe_name, write_json
from mmbench.record import (
    CUSTOM,
    DAMAGED,
    SCHEMA_VERSION,
    DatasetReference,
    LabelSubset,
    Metric,
    Result,
    config_digest,
    first_not_finite,
)
from mmbench.record_files import ENDING, record_files
from mmbench.verification import DIGEST, content_digest, with_digest

__all__ = [
    "CUSTOM",
    "DAMAGED",
    "SCHEMA_VERSION",
    "DatasetReference",
    "LabelSubset",
    "Metric",
    "Result",
    "ResultStore",
    "config_digest",
    "first_not_finite",
    "read_result",
    "without_collection",
]
LARGEST_FILE = 2**25  # bytes; a record of 21,841 classes has 1.5 MB


class ResultStore:
    """A folder of records; a record's path is its identity, so the same run is never counted twice."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(
        self, card: ModelCard, protocol: str, dataset: DatasetReference, config: dict[str, Any], seed: int
    ) -> Path:
        """Return where the record of this model, protocol, data, configuration and seed lives.

        Names come from files of others; whatever they are, the path stays below the root.
        """
        slug = safe_name(protocol.replace("/", "-"))
        identity = f"{safe_name(card.arm)}-{card.digest}-{config_digest(config)}-seed{seed}{ENDING}"
        return self.root / f"{safe_name(dataset.name)}-{safe_name(dataset.fingerprint[:8])}" / slug / identity

    def place_of(self, result: Result) -> Path:
        """Return where a record lives; see `path_of`."""
        return self.path_of(result.model, result.protocol, result.dataset, result.config, result.seed)

    def write(self, result: Result) -> Path:
        """Write the record atomically, with a digest of its content, and return its path.

        Raises:
            UserError: a value of it is not one that a record may hold; nothing is written.
        """
        try:
            Result.model_validate(result.model_dump())  # a copy with changes was not checked before
            values = json.loads(result.model_dump_json())
        except ValueError as error:
            raise UserError(f"this result cannot be recorded: {_first_reason(error)}") from None
        path = self.place_of(result)
        write_json(path, with_digest(values))
        return path

    def items(self) -> Iterator[tuple[Path, Result]]:
        """Yield (path, record) for every record below the root in the order of their paths.

        Raises:
            UserError: a file is not a record of a schema version that is read here.
        """
        for path, found in self.each():
            if isinstance(found, UserError):
                raise found
            yield path, found

    def read_all(self) -> tuple[list[tuple[Path, Result]], list[UserError]]:
        """Return (path, record) for every record, as `items` yields them, and an error per other file."""
        records: list[tuple[Path, Result]] = []
        invalid: list[UserError] = []
        with without_collection():
            for path, found in self.each():
                if isinstance(found, UserError):
                    invalid.append(found)
                else:
                    records.append((path, found))
        return records, invalid

    def each(self) -> Iterator[tuple[Path, Result | UserError]]:
        """Yield (path, record or what is wrong with it) for every file that should be a record.

        Folders behind symbolic links are read too, and each file once, however many links lead to it. Hidden
        files and folders are left out: a record that another process is writing has a hidden name. A file
        that is gone when it is its turn was removed.
        """
        for path, problem in record_files(self.root):
            if problem is not None:
                yield path, UserError(problem)
                continue
            try:
                yield path, _result_in(path)
            except FileNotFoundError:
                continue
            except UserError as error:
                yield path, error

    def __iter__(self) -> Iterator[Result]:
        """Yield every record below the root; see `items`."""
        for _, result in self.items():
            yield result


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Pause the collector of reference cycles: records have none, and it would visit all of them often."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_result(path: Path) -> Result:
    """Read one record.

    Raises:
        UserError: the file is missing, is not JSON, is damaged, or is not a record of schema version 1.
    """
    try:
        return _result_in(path)
    except FileNotFoundError:
        raise UserError(f"no result record at {one_line(str(path))}; check the path") from None


def _result_in(path: Path) -> Result:
    """Return the record in a file.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: see `read_result`.
    """
    try:
        values = _parsed(_content(path))
        stated = values.pop(DIGEST, None)
        result = Result.model_validate(values)
        damaged = stated is not None and stated != content_digest(values)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{one_line(str(path))} is not a result record of schema version {SCHEMA_VERSION}: "
            f"{_first_reason(error)}; move it out of the results folder"
        ) from None
    if damaged:
        raise UserError(f"{one_line(str(path))} is {DAMAGED}; restore it, or delete it and measure it again")
    return result


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
        values = json.loads(content.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise ValueError(f"the file: it is not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the file: it is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"the file: it holds a {type(values).__name__}, not a JSON object")
    if "schema_version" not in values:
        raise ValueError("schema_version: is missing")
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{one_line(twice, 80)}: stands there twice")
    return found


def _first_reason(error: Exception) -> str:
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
