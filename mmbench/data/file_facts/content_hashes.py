"""SHA-256 of the contents of many files; unchanged files are read once (see `file_cache`)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path

from mmbench.data.file_facts.fact_database import DATABASE
from mmbench.data.file_facts.file_cache import Reading, facts_of_files

__all__ = ["DATABASE", "UNREADABLE", "content_digests", "digest_of_files"]

WHOLE_READ_BYTES = 2**24  # larger files are read in pieces
UNREADABLE = b""


def content_digests(root: Path, paths: Sequence[str]) -> list[bytes]:
    """Return the SHA-256 (32 bytes) of each file's content, `UNREADABLE` where it cannot be read.

    Args:
        root: folder that the paths are below.
    """
    reading = Reading("files", _digest, "identifying the images by their content")
    return [UNREADABLE if digest is None else digest for digest in facts_of_files(root, paths, reading)]


def digest_of_files(paths: Sequence[str], contents: Sequence[bytes]) -> str:
    """Return the SHA-256 over names of files and the digests of their contents."""
    digest = hashlib.sha256()
    for path, content in zip(paths, contents, strict=True):
        digest.update(b"%s\0%s\n" % (os.fsencode(path), content.hex().encode()))
    return digest.hexdigest()


def _digest(stream: FileIO, size: int) -> Mapping[str, bytes]:
    if size <= WHOLE_READ_BYTES:
        return {"files": hashlib.sha256(stream.read()).digest()}
    return {"files": hashlib.file_digest(stream, "sha256").digest()}
