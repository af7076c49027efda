"""Where an encoded image is: a file of its own, or a part of a larger file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

REMEDY = "fix or remove it"


@dataclass(frozen=True)
class StoredImage:
    """An image that is no file of its own; readers take it where they take a path.

    Attributes:
        name: what messages call it.
        content: the encoded image; a view of mapped memory in a packed copy.
        remedy: what messages advise if it cannot be read.
    """

    name: str
    content: bytes | memoryview
    remedy: str = REMEDY

    def __str__(self) -> str:
        """Return the name, as a path does."""
        return self.name

    def __reduce__(self) -> tuple[type[StoredImage], tuple[str, bytes, str]]:
        return StoredImage, (self.name, bytes(self.content), self.remedy)  # views cannot be pickled


ImagePlace = Path | StoredImage


def openable(image: ImagePlace) -> Path | io.BytesIO:
    """Return what `PIL.Image.open` takes."""
    return io.BytesIO(image.content) if isinstance(image, StoredImage) else image


def content_of(image: ImagePlace) -> bytes | memoryview:
    """Return the encoded image.

    Raises:
        OSError: the file cannot be read.
    """
    return image.content if isinstance(image, StoredImage) else image.read_bytes()


def remedy(image: ImagePlace) -> str:
    """Return what to do about an image that cannot be read."""
    return image.remedy if isinstance(image, StoredImage) else REMEDY
