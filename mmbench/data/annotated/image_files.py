"""Facts about image files: size as stored, EXIF orientation, and whether they can be decoded.

Each image is decoded once, by the same rules as in a run. The facts are stored (see `fact_database`), so an
unchanged file is not opened again; its SHA-256 is stored with them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from mmbench.data.file_facts.file_cache import Reading, facts_of_files
from mmbench.data.images.pixel_modes import orientation, to_rgb

WHOLE_READ_BYTES = 2**26  # larger files are hashed in pieces
PROBLEM = b"!"  # begins the fact of a file that cannot be decoded


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image file.

    Attributes:
        width, height: of the pixels as they are stored.
        orientation: the EXIF tag: 1 is upright, 2 to 8 are turned or mirrored.
        problem: why the file cannot be decoded, "" if it can; the size is 0 then.
    """

    width: int
    height: int
    orientation: int = 1
    problem: str = ""

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height of the stored pixels."""
        return self.width, self.height

    @property
    def displayed(self) -> tuple[int, int]:
        """Width and height after the EXIF orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def image_facts(root: Path, paths: Sequence[str]) -> list[ImageFacts | None]:
    """Return the facts about each image, None where there is no file that can be opened.

    Args:
        root: folder that the paths are below.
    """
    reading = Reading("images", _facts, "checking that the images can be decoded", chunk=64)
    return [None if fact is None else _unpacked(fact) for fact in facts_of_files(root, paths, reading)]


def _facts(stream: io.FileIO, size: int) -> Mapping[str, bytes]:
    source: io.BytesIO | io.FileIO
    if size <= WHOLE_READ_BYTES:
        content = stream.read()
        digest, source = hashlib.sha256(content).digest(), io.BytesIO(content)
    else:
        digest, source = hashlib.file_digest(stream, "sha256").digest(), stream
        source.seek(0)
    try:
        with Image.open(source) as opened:
            # Before it is decoded: Pillow turns a TIFF upright on the way, and forgets its tag.
            turned, stored = orientation(opened), _stored_size(opened)
            to_rgb(opened)
            fact = f"{stored[0]} {stored[1]} {turned}".encode()
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        if "BytesIO" in reason:
            reason = "not an image"
        # Another version of Pillow may decode it, so it is tried again each time.
        return {"files": digest, "": PROBLEM + reason[:200].encode("utf-8", "replace")}
    return {"files": digest, "images": fact}


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of the stored pixels; what Pillow calls the size of a TIFF is as displayed."""
    if isinstance(image, TiffImageFile):
        return int(image.tag_v2[IMAGEWIDTH]), int(image.tag_v2[IMAGELENGTH])
    return image.size


def _unpacked(fact: bytes) -> ImageFacts:
    if fact.startswith(PROBLEM):
        return ImageFacts(0, 0, problem=fact[1:].decode("utf-8", "replace"))
    width, height, turned = map(int, fact.split())
    return ImageFacts(width, height, turned)
