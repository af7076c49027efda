"""The header of a packed copy, `pack.json`: what was packed, how, and into which files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmbench.data.file_facts.content_hashes import DATABASE
from mmbench.data.types import SPLITS, Metric, Split
from mmbench.errors import UserError, one_line
from mmbench.file_names import printable
from mmbench.files import write_json
from mmbench.verification import DIGEST, content_digest, with_digest

VERSION = 1  # of the format; readers refuse a newer one
FORMAT = "mmbench pack"
HEADER = "pack.json"
SHARD = re.compile(r"(train|val|test)-\d{5}\.arrow")
AGAIN = "pack the data again"
COPY_AGAIN = f"copy it again, or {AGAIN}"

PackFormat = Literal["jpeg", "png", "webp"]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShardFacts(_Strict):
    """One file of a split: its name, images, size in bytes and SHA-256."""

    file: Annotated[str, Field(pattern=rf"^{SHARD.pattern}$")]
    images: Annotated[int, Field(ge=1)]
    bytes: Count
    sha256: Sha256


class SplitFacts(_Strict):
    """One split.

    Attributes:
        images: how many there are.
        reencoded: of these, how many were encoded anew; the others are the bytes of their files.
        unreadable: names of the images that were left out.
        fingerprint: over names, contents and labels; see `Encoding.identity`.
        shards: in the order of the images.
        folder: that the names are relative to, below the folder of the source, as `stored_name` writes it;
            "" is that folder itself. None in packed copies that were made before this was stored.
    """

    images: Annotated[int, Field(ge=1)]
    reencoded: Count
    unreadable: tuple[str, ...] = ()
    fingerprint: Sha256
    shards: Annotated[tuple[ShardFacts, ...], Field(min_length=1)]
    folder: str | None = None


class Encoding(_Strict):
    """How images are stored.

    Attributes:
        short_side: px; larger images are reduced to it, smaller ones are never enlarged.
        format: of the stored images.
        quality: of JPEG or WebP, from 1 to 100; None for PNG, which loses nothing.
    """

    short_side: Annotated[int, Field(ge=1)]
    format: PackFormat = "jpeg"
    quality: Annotated[int, Field(ge=1, le=100)] | None = None

    def identity(self, files: str) -> str:
        """Return the fingerprint of packed images, which those of their files never have.

        Images that were all kept as they were have the names, contents and labels of their files.

        Args:
            files: the fingerprint of the same names, contents and labels as files.
        """
        return hashlib.sha256(f"{FORMAT} {self.model_dump_json()} {files}".encode()).hexdigest()


class Source(_Strict):
    """What was packed: name and fingerprint of the data set, and the remarks on it."""

    name: str
    fingerprint: Sha256
    remarks: tuple[str, ...]


class PackHeader(_Strict):
    """The content of `pack.json`, but for its own SHA-256.

    Attributes:
        name: of the packed data set.
        classes, image_size, metric, multilabel: as in `Dataset`.
        filter: how images are reduced.
        libraries: versions of what encoded the images and wrote the files.
    """

    format: Literal["mmbench pack"] = "mmbench pack"
    version: Literal[1] = 1
    name: str
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    image_size: Annotated[int, Field(ge=1)]
    metric: Metric
    multilabel: bool
    encoding: Encoding
    filter: str
    source: Source
    splits: Mapping[Split, SplitFacts]
    libraries: Mapping[str, str]

    def remarks(self) -> tuple[str, ...]:
        """Return the remarks on the source, and what packing did to its images."""
        quality = "" if self.encoding.quality is None else f" of quality {self.encoding.quality}"
        images = sum(split.images for split in self.splits.values())
        reencoded = sum(split.reencoded for split in self.splits.values())
        left_out = sum(len(split.unreadable) for split in self.splits.values())
        line = (
            f"a packed copy of '{self.source.name}' (fingerprint {self.source.fingerprint[:8]}): {reencoded} "
            f"of {images} images were encoded again as {self.encoding.format}{quality}, with short sides of "
            f"{self.encoding.short_side} px at most"
        )
        more = (
            (f"{left_out} images that cannot be read were left out when it was packed",) if left_out else ()
        )
        return (*self.source.remarks, line, *more)


def is_pack(folder: Path) -> bool:
    """Return whether a folder is a packed copy, or what is left of one."""
    if any((folder / shard_name(split, 0)).exists() for split in SPLITS):
        return True
    try:
        content = json.loads((folder / HEADER).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def shard_name(split: str, number: int) -> str:
    """Return what a file of a split is called."""
    return f"{split}-{number:05d}.arrow"


def holds_nothing_else(folder: Path) -> bool:
    """Return whether a folder holds files of a pack, damaged or not, and no others."""
    names = [entry.name for entry in folder.iterdir()]
    return bool(names) and all(
        name == HEADER or SHARD.fullmatch(name) or name.startswith(DATABASE) for name in names
    )


def write_header(folder: Path, header: PackHeader) -> None:
    """Write `pack.json`, with the SHA-256 of its own content."""
    write_json(folder / HEADER, with_digest(header.model_dump(mode="json")))


def read_header(folder: Path) -> PackHeader:
    """Return the header of a pack.

    Raises:
        UserError: it is missing, damaged, edited, or of a newer version.
    """
    path = folder / HEADER
    try:
        content = json.loads(path.read_bytes())
        stated = content.pop(DIGEST, None)
    except FileNotFoundError:
        raise UserError(f"{printable(folder)} is a packed copy without its {HEADER}; {AGAIN}") from None
    except (ValueError, AttributeError, TypeError):
        raise UserError(f"{printable(path)} is damaged; {AGAIN}") from None
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UserError(
            f"{printable(folder)} is a packed copy of format {version}, and this mmbench reads format "
            f"{VERSION}; use a newer mmbench, or {AGAIN} with this one"
        )
    try:
        header = PackHeader.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise UserError(
            f"{printable(path)} is damaged ({one_line(where, 80)}: {one_line(first['msg'], 100)}); {AGAIN}"
        ) from None
    if stated != content_digest(content):
        raise UserError(f"{printable(path)} was changed after it was written; {AGAIN}")
    return header
