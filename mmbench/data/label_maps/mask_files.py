"""Facts about mask files: size, how pixels are stored, and how many there are of each value or colour.

Each file is decoded once. The facts are stored (see `fact_database`), so an unchanged file is not opened
again; its SHA-256 is stored with them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmbench.data.file_facts.file_cache import Reading, facts_of_files
from mmbench.data.label_maps.pixels import (
    MaskPixels,
    Storage,
    UnclearPixelsError,
    elements_of,
    labels_of,
    mask_pixels,
)
from mmbench.data.label_maps.types import Coding

MOST_VALUES = 300  # different values or colours of one file; a photograph has more


def _none() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """One mask file.

    Attributes:
        size: width and height in pixels.
        values: that occur, rising; colours as 0xRRGGBB if the storage is "colour".
        counts: pixels of each.
        palette: colour of each value as 0xRRGGBB, if the storage is "palette".
        transparency: whether it differs between pixels.
        unclear: what its pixels are, if they cannot be labels; see `UnclearPixelsError`.
        problem: why the file cannot be decoded, "" if it can.
    """

    size: tuple[int, int] = (0, 0)
    storage: Storage = "8-bit grey"
    values: NDArray[np.int64] = field(default_factory=_none)
    counts: NDArray[np.int64] = field(default_factory=_none)
    palette: NDArray[np.int64] | None = None
    transparency: bool = False
    unclear: str = ""
    problem: str = ""

    @property
    def usable(self) -> bool:
        """Whether its pixels can be labels."""
        return not self.problem and not self.unclear

    @property
    def elements(self) -> NDArray[np.int64]:
        """Values; grey ones of a colour image whose channels are equal everywhere, else its colours."""
        return self.values & 255 if self.storage == "colour" and self.grey else self.values

    @property
    def grey(self) -> bool:
        """Whether a pixel is one number, and not a colour."""
        return self.storage != "colour" or bool((self.values == 0x010101 * (self.values & 255)).all())

    def labels(self, coding: Coding) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        """Return per value that occurs its label, -1 where there is none, and what the coding looked up."""
        palette = None
        if self.palette is not None:
            palette = np.zeros(256, np.uint32)
            palette[self.values] = self.palette
        elements = elements_of(self.storage, self.values, palette, coding)
        return labels_of(elements, coding), elements


def mask_facts(root: Path, paths: Iterable[str]) -> dict[str, MaskFacts | None]:
    """Return path -> facts about each mask file, None where there is no file that can be opened.

    Args:
        root: folder that the paths are below.
    """
    unique = list(dict.fromkeys(filter(None, paths)))
    reading = Reading("label_maps", _facts, "reading the label maps", chunk=64)
    facts = facts_of_files(root, unique, reading)
    return {path: None if fact is None else _unpacked(fact) for path, fact in zip(unique, facts, strict=True)}


def _facts(stream: io.FileIO, size: int) -> Mapping[str, bytes]:
    content = stream.read()
    digest = hashlib.sha256(content).digest()
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            found: dict[str, Any] = {"size": [width, height]}
            try:
                found |= _counted(image, mask_pixels(image))
            except UnclearPixelsError as error:
                found["unclear"] = str(error)
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        if "BytesIO" in reason:
            reason = "not an image"
        # Another version of Pillow may decode it, so it is tried again each time.
        return {"files": digest, "": json.dumps({"problem": reason[:200]}).encode()}
    return {"files": digest, "label_maps": json.dumps(found, separators=(",", ":")).encode()}


def _counted(image: Image.Image, found: MaskPixels) -> dict[str, Any]:
    if found.storage == "colour":
        several = image.convert("RGB").getcolors(MOST_VALUES)
        if several is None:
            raise UnclearPixelsError(f"an image of more than {MOST_VALUES} colours")
        pairs = sorted((red << 16 | green << 8 | blue, count) for count, (red, green, blue) in several)  # type: ignore[misc]
        values, counts = [value for value, _ in pairs], [count for _, count in pairs]
    else:
        histogram = np.bincount(found.pixels.ravel())
        occurring = np.flatnonzero(histogram)
        if len(occurring) > MOST_VALUES:
            raise UnclearPixelsError(f"an image of more than {MOST_VALUES} grey values")
        values, counts = occurring.tolist(), histogram[occurring].tolist()
    if found.transparency and len(values) == 1:
        raise UnclearPixelsError("an image whose shapes are in its transparency")
    facts: dict[str, Any] = {"storage": found.storage, "values": values, "counts": counts}
    if found.palette is not None:
        facts["palette"] = found.palette[values].tolist()
    return facts | ({"transparency": True} if found.transparency else {})


def _unpacked(fact: bytes) -> MaskFacts:
    found = json.loads(fact)
    if "problem" in found:
        return MaskFacts(problem=found["problem"])
    width, height = found["size"]
    if "unclear" in found:
        return MaskFacts((width, height), unclear=found["unclear"])
    return MaskFacts(
        (width, height),
        found["storage"],
        np.array(found["values"], np.int64),
        np.array(found["counts"], np.int64),
        np.array(found["palette"], np.int64) if "palette" in found else None,
        bool(found.get("transparency")),
    )
