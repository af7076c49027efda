"""Receipt: what became of every tensor of a checkpoint, and the proof that nothing else changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from mmbench.files import write_text


def without_empty(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the values without those of the named parts that are empty."""
    return {name: value for name, value in values.items() if value or name not in names}


class TensorFate(BaseModel):
    """One tensor: its name in the source, under torchvision's naming, and in the target."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    canonical: str
    target: str | None = None
    shape: tuple[int, ...]
    dtype: str


class Reading(BaseModel):
    """How a checkpoint was read.

    Attributes:
        dropped: stored name -> why it is not part of the backbone.
        filled: tensors that the file lacks and that no output depends on (batch-norm counters).
        changed: facts such as "float16 became float32".
        weights: dotted path, inside the file, of the set of weights that was read; "" for the file itself.
        sets: descriptions of all sets of weights in the file, where there are several.
        choice: why this set, where there are several.
        assumed: what the file does not state and was assumed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    sha256: str
    format: str
    arch: str
    tensors: tuple[TensorFate, ...]
    dropped: dict[str, str]
    filled: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    weights: str = ""
    sets: tuple[str, ...] = ()
    choice: str = ""
    assumed: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what older receipts did not have, so that their id stays what it was."""
        return without_empty(serialise(self), "weights", "sets", "choice", "assumed")


class SourceParity(BaseModel):
    """How what was read compares with the network of the library that the file is of.

    Attributes:
        library: its name; "" where nothing was compared.
        error: largest relative error of the last features, from raw images; None where nothing was compared.
        words: a phrase: which network, or why there was none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: str = ""
    error: float | None = None
    words: str


class Receipt(BaseModel):
    """One conversion.

    Attributes:
        covered, wanted: backbone tensors that arrived, and that the architecture has: always equal.
        left_out: canonical names that the target has no place for -> why.
        parity: stage -> largest relative error of its features; None where it was not compared.
        verification: a phrase: how it was checked.
        assumed: what the source does not state of its network, and how it was built here; one phrase each.
        source_parity: what was read, compared with the source library's own network.
        notes: what users of the output must know, such as how the network must be built.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reading: Reading | None
    arch: str
    target: str
    output: str
    output_sha256: str
    covered: int
    wanted: int
    names: dict[str, str]
    left_out: dict[str, str] = {}
    parity: dict[str, float] | None = None
    verification: str
    assumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source_parity: SourceParity | None = None

    @model_serializer(mode="wrap")
    def _without_absent_parts(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what older receipts did not have, so that their id stays what it was."""
        return without_empty(serialise(self), "assumed", "notes", "source_parity")

    @property
    def id(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the receipt's JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]

    def write(self, path: Path) -> None:
        """Write the receipt as JSON, atomically."""
        write_text(path, self.model_dump_json(indent=2) + "\n")
