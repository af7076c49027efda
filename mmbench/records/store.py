"""ResultStore: a folder of records. What a record holds is in `mmbench.records.record`."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmbench.checkpoints.card import ModelCard
from mmbench.errors import UserError, one_line
from mmbench.files import safe_name, write_json
from mmbench.records.files import ENDING, record_files
from mmbench.records.reading import first_reason, result_in
from mmbench.records.record import (
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
from mmbench.verification import with_digest

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
        data = f"{safe_name(dataset.name)}-{safe_name(dataset.fingerprint[:8])}"
        identity = f"{safe_name(card.arm)}-{card.digest}-{config_digest(config)}-seed{seed}{ENDING}"
        return self.root / data / self.folder_of(protocol) / identity

    @staticmethod
    def folder_of(protocol: str) -> str:
        """Return the name of the folders, one below each data set's, with the records of a protocol."""
        return safe_name(protocol.replace("/", "-"))

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
            raise UserError(f"this result cannot be recorded: {first_reason(error)}") from None
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
                yield path, result_in(path)
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
        return result_in(path)
    except FileNotFoundError:
        raise UserError(f"no result record at {one_line(str(path))}; check the path") from None
