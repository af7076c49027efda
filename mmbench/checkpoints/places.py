"""What names a checkpoint, looked at without torch: the source of a name, the kind of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmbench.errors import UserError

SOURCES = ("timm", "hf-hub", "local-dir", "torchvision")
ALIASES = {"hf_hub": "hf-hub"}  # timm's older spelling
Kind = Literal["safetensors", "torch", "arrays"]
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
BYTE_ORDER_MARK, LFS_POINTER = b"\xef\xbb\xbf", b"version https://git-lfs"
LONGEST_HEADER = 100_000_000  # bytes, of safetensors; its length comes first, and may begin as a pickle does
LEGACY_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save's magic number before version 1.6


def source_of(spec: str | Path) -> tuple[str, str] | None:
    """Return (source, what it names) of a name such as "timm:resnet50.a1_in1k"; None for a path.

    >>> source_of("timm:resnet50.a1_in1k"), source_of("runs/mixmask")
    (('timm', 'resnet50.a1_in1k'), None)
    """
    source, colon, name = str(spec).partition(":")
    source = ALIASES.get(source.lower(), source.lower())
    return (source, name) if colon and source in SOURCES else None


def kind_of(path: Path) -> Kind:
    """Return what a file of weights is by its first bytes: safetensors, torch's, or a pickle of numpy arrays.

    Raises:
        UserError: missing, empty, or none of these.
    """
    if path.is_dir():
        raise UserError(
            f"{path} is a folder, but neither a run folder nor a timm folder "
            "(no model.safetensors in it); name a checkpoint file"
        )
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}; check the path")
    with path.open("rb") as stream:
        start = stream.read(512)
    if not start:
        raise UserError(f"{path} is empty; download or save it again")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= LONGEST_HEADER:
        return "safetensors"
    if start.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] == b"<":
        raise UserError(f"{path} is a web page, not a checkpoint; download the file itself, not its page")
    if start.startswith(LFS_POINTER):
        raise UserError(f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull` there")
    if start[:1] == PICKLE and LEGACY_TORCH not in start[:16]:
        return "arrays"
    if start[:4] == ZIP or start[:1] == PICKLE:
        return "torch"
    raise UserError(f"{path} is not a checkpoint: neither a torch file nor a safetensors file")
