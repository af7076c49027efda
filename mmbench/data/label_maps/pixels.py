"""Pixels of mask files, read by a coding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmbench.data.images.pixel_modes import orientation
from mmbench.data.images.truncation import load
from mmbench.data.label_maps.lossy import lossy_storage
from mmbench.data.label_maps.palettes import unpacked
from mmbench.data.label_maps.types import Coding
from mmbench.errors import UserError
from mmbench.file_names import printable

# How mask files store pixels, in words.
Storage = Literal["1-bit", "8-bit grey", "16-bit grey", "palette", "colour"]
NO_VALUE = 1 << 24
SHALLOW = {"L;2": 85, "L;4": 17}  # Pillow multiplies grey values of so few bits, to span 0 to 255


class UnclearPixelsError(ValueError):
    """Pixels that cannot be labels; the message says what they are, such as "a JPEG"."""


@dataclass(frozen=True)
class MaskPixels:
    """The pixels of a mask file, before a coding tells what they mean.

    Attributes:
        pixels: (H, W) values, or colours as 0xRRGGBB if the storage is "colour".
        palette: (256,) colours of the indices as 0xRRGGBB, uint32, if the storage is "palette".
        transparency: whether it differs between pixels; it is not read.
    """

    storage: Storage
    pixels: NDArray[np.integer[Any]]
    palette: NDArray[np.uint32] | None = None
    transparency: bool = False


def mask_pixels(image: Image.Image) -> MaskPixels:
    """Return the pixels of an opened mask file; nothing is scaled or cut.

    Raises:
        UnclearPixelsError: they cannot be labels.
        OSError: the file is damaged; Pillow's decoders raise other errors too.
    """
    if lossy := lossy_storage(image):
        raise UnclearPixelsError(lossy)
    # Before the EXIF tag is read, for which Pillow decodes a PNG and forgets how it is stored.
    stored = " ".join(str(tile[-1]) for tile in getattr(image, "tile", ()))
    if getattr(image, "n_frames", 1) > 1:
        raise UnclearPixelsError("a file of several images")
    if orientation(image) != 1:
        raise UnclearPixelsError("an image with an EXIF orientation")
    load(image)
    if image.mode == "1":
        return MaskPixels("1-bit", np.asarray(image).astype(np.uint8))
    if image.mode == "L" and image.format == "GIF":  # Pillow's for a palette that is a ramp of grey
        return MaskPixels("palette", np.asarray(image), 0x010101 * np.arange(256, dtype=np.uint32))
    if image.mode == "L":
        factor = next((factor for mode, factor in SHALLOW.items() if mode in stored), 1)
        return MaskPixels("8-bit grey", np.asarray(image) // np.uint8(factor))
    if image.mode == "P":
        colours = np.zeros((256, 3), np.uint32)
        flat = np.array(image.getpalette("RGB") or [], np.uint32).reshape(-1, 3)
        colours[: len(flat)] = flat
        return MaskPixels("palette", np.asarray(image), _packed(colours))
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() >= 1 << 16):
            raise UnclearPixelsError(f"integers from {values.min()} to {values.max()}")
        return MaskPixels("16-bit grey", values.astype(np.uint16))
    if image.mode not in ("RGB", "RGBA", "RGBX", "LA"):
        kind = "floating-point numbers" if image.mode == "F" else f"pixels of mode {image.mode}"
        raise UnclearPixelsError(kind)
    if ";16" in stored:
        raise UnclearPixelsError("colours of 16 bits")
    channels = np.asarray(image)
    alpha = channels[..., -1] if image.mode in ("RGBA", "LA") else None
    transparency = alpha is not None and bool(alpha.size) and bool((alpha != alpha.flat[0]).any())
    if image.mode == "LA":
        return MaskPixels("8-bit grey", np.ascontiguousarray(channels[..., 0]), None, transparency)
    return MaskPixels("colour", _packed(channels), None, transparency)


def _packed(channels: NDArray[Any]) -> NDArray[np.uint32]:
    red, green, blue = (channels[..., place].astype(np.uint32) for place in range(3))
    packed = red << 16 | green << 8 | blue
    return packed.astype(np.uint32, copy=False)


def read_labels(path: Path, coding: Coding) -> NDArray[np.uint8]:
    """Return the labels (height, width) of a mask file.

    Raises:
        UserError: the file cannot be read, or holds a pixel that the coding does not cover.
    """
    try:
        with Image.open(path) as image:
            found = mask_pixels(image)
    except UnclearPixelsError as error:
        raise UserError(f"label map {printable(path)} is {error}; save it as a PNG of labels") from None
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"label map {printable(path)} cannot be read ({reason[:200]}); fix or remove it"
        ) from None
    pixels = found.pixels
    if found.storage == "colour":
        labels = labels_of(elements_of(found.storage, pixels, None, coding), coding)
    else:  # at most 65,536 values
        stored = np.arange(int(pixels.max(initial=0)) + 1)
        labels = labels_of(elements_of(found.storage, stored, found.palette, coding), coding)[pixels]
    if (labels < 0).any():
        element = int(elements_of(found.storage, pixels[labels < 0][:1], found.palette, coding)[0])
        raise UserError(
            f"{printable(path)} has pixels of {described(element, coding)}, which is that of no class; fix it"
        )
    return labels.astype(np.uint8)


def described(element: int, coding: Coding) -> str:
    """Return a value or a colour in words, such as "value 77" or "colour (1, 0, 0)"."""
    if coding.kind == "values" and element < NO_VALUE:
        return f"value {element}"
    return f"colour {unpacked(element % NO_VALUE)}" if element >= 0 else "a value above 255"


def elements_of(
    storage: Storage, pixels: NDArray[np.integer[Any]], palette: NDArray[np.uint32] | None, coding: Coding
) -> NDArray[np.int64]:
    """Return what a coding looks up for pixels as they are stored: values, or colours as 0xRRGGBB.

    A value above 255 is no colour, and a colour whose channels differ is no value: they become -1 and
    NO_VALUE + 0xRRGGBB, which no coding covers.

    Args:
        pixels: of any shape.
        palette: colour per index, if the storage is "palette".
    """
    wide: NDArray[np.int64] = pixels.astype(np.int64)
    found: NDArray[Any] = wide
    if coding.kind == "colours" and storage != "colour":
        found = np.where(wide < 256, 0x010101 * wide, -1) if palette is None else palette[wide]
    elif coding.kind == "values" and storage == "colour":
        shared = wide & 255
        found = np.where(wide == 0x010101 * shared, shared, NO_VALUE + wide)
    return found.astype(np.int64, copy=False)


def labels_of(elements: NDArray[np.int64], coding: Coding) -> NDArray[np.int16]:
    """Return the labels of values or colours, -1 where the coding has none."""
    if not coding.labels:
        return np.full(elements.shape, -1, np.int16)
    keys = np.array(sorted(coding.labels), np.int64)
    labels = np.array([coding.labels[int(key)] for key in keys], np.int16)
    places = np.searchsorted(keys, elements).clip(max=len(keys) - 1)
    return np.where(keys[places] == elements, labels[places], np.int16(-1))
