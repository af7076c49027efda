"""Detects damaged files, by the checksums that formats hold and by digests that we add."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

from mmbench.errors import UserError

ZIP = b"PK\x03\x04"
FOLDER = 0x10  # MS-DOS attribute of a zip record
DIGEST = "digest"  # field of a JSON object that holds the digest of the others


def zip_damage(path: Path) -> str | None:
    """Return a short description of the damage of a zip file, None where every record matches its CRC-32.

    `torch.load` compares no CRC-32. Files that were saved without any (`set_crc32_options(False)` writes
    zeros) cannot be verified and count as undamaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            if all(record.CRC == 0 for record in records):
                return None
            for record in records:
                # torch would treat it as a folder, and return uninitialised memory.
                if record.file_size and (record.external_attr & FOLDER or record.is_dir()):
                    return f"{record.filename} is marked as a folder"
                with archive.open(record) as stream:
                    while stream.read(2**20):
                        pass
    except Exception as error:
        # Damaged bytes raise anything in zipfile (BadZipFile, RuntimeError, struct.error, zlib.error ...).
        return (str(error).splitlines() or [type(error).__name__])[0][:120]
    return None


def check_zip(path: Path) -> None:
    """Check a file if it is a zip file; others carry no checksum.

    Raises:
        UserError: a record differs from its CRC-32, or the zip file cannot be read.
    """
    with path.open("rb") as stream:
        is_zip = stream.read(4) == ZIP
    if is_zip and (damage := zip_damage(path)) is not None:
        raise UserError(f"{path} is damaged or truncated ({damage}); get it again")


def state_damage(path: Path) -> str | None:
    """Return a short reason why a training state cannot be read, None if it can."""
    import torch

    if (damage := zip_damage(path)) is not None:  # torch.load does not compare checksums
        return damage if path.stat().st_size else "it is empty"
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        return str(error).partition("\n")[0][:80]
    return None


def content_digest(values: dict[str, Any]) -> str:
    """Return the SHA-256 of a JSON object without its field `digest`; formatting does not matter."""
    rest = {name: value for name, value in values.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def with_digest(values: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object with the digest of its content in the field `digest`."""
    return {**values, DIGEST: content_digest(values)}


def is_damaged(values: Any) -> bool:
    """Return whether a JSON object has a digest that is not that of its content."""
    return isinstance(values, dict) and DIGEST in values and values[DIGEST] != content_digest(values)
