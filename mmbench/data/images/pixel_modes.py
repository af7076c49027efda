"""From whatever pixels a file holds to 8-bit RGB, by stated rules; what no rule covers is refused.

| pixels | rule |
|---|---|
| 16-bit grey or colour | the full range 0 to 65535: the high byte is kept |
| JPEG 2000 in colour of more than 8 bits | refused: Pillow turns its brightest values black |
| 12-bit TIFF | 0 to 4095: the highest eight bits are kept |
| 32-bit integers | 0 to 255 as they are; beyond that as 16-bit; negative or above 65535: refused |
| floating point | 0 to 1, or 0 to 255; anything else, and what is not finite: refused |
| transparency | dropped: the colours beneath it are kept |
| several frames | the first one |

Values that use so little of their range that fewer than 16 grey levels would be left are refused: such files
hold fewer bits than their type says, such as 12-bit data in 16-bit files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from mmbench.data.images.truncation import load

Pixels = np.ndarray[tuple[int, ...], np.dtype[Any]]

LEAST_LEVELS = 16
# Of a JPEG 2000: its first two markers, and bytes from there to that of its bits (ISO/IEC 15444-1, A.5.1).
SIZES, SIZES_TO_BITS, LARGEST_START = b"\xff\x4f\xff\x51", 42, 2**16
BITS_PER_SAMPLE, ORIENTATION = 258, 0x0112  # TIFF 6.0 and EXIF tags
# How to turn stored pixels so that they are seen upright; EXIF 2.3, section 4.6.4, tag 0x0112.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What undoes a turn: quarter turns become those of the other direction, the rest undo themselves.
AS_STORED = {**UPRIGHT, 6: UPRIGHT[8], 8: UPRIGHT[6]}


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 (upright) where there is none or it cannot be read.

    Raises:
        OSError: the pixels of a PNG are damaged; Pillow's decoders raise other errors too.
    """
    if isinstance(image, PngImageFile) and "exif" not in image.info:
        # The tag may follow the pixels, so Pillow would decode them to look for it, within the `try` below.
        # It says only once that they are damaged: loaded again, they are what was decoded until then.
        load(image)
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged metadata raise anything, and say nothing of the pixels
        return 1
    return found if found in UPRIGHT else 1


def to_rgb(image: Image.Image, *, apply_exif: bool = True) -> Image.Image:
    """Return an opened image as 8-bit RGB, by the rules above.

    Args:
        image: opened, not decoded yet.
        apply_exif: whether it is turned upright as its EXIF tag states.

    Raises:
        ValueError: no rule covers its pixels.
        OSError: it is truncated; Pillow's decoders raise other errors too.
    """
    if image.format == "JPEG2000" and "I" not in image.mode and (bits := _bits_of_jpeg_2000(image)) > 8:
        raise ValueError(f"JPEG 2000 of {bits} bits, whose brightest values are lost; save it as PNG or TIFF")
    deep = _is_deep(image)
    stated = orientation(image)
    load(image)  # turns a TIFF upright by itself
    turns, tag = UPRIGHT, orientation(image)
    if not apply_exif:
        turns, tag = (AS_STORED, stated) if tag != stated else ({}, 1)
    turn = turns.get(tag)
    if image.mode == "F":
        rgb = _grey(_from_floats(np.asarray(image)))
    elif image.mode == "I":
        rgb = _grey(_from_integers(np.asarray(image)))
    elif image.mode.startswith("I;"):
        bits = 12 if _twelve_bits(image) else 16
        rgb = _grey(_high_byte(np.asarray(image, dtype=np.uint32), bits))
    else:
        rgb = _without_transparency(image)
        if deep and _largest(rgb) < LEAST_LEVELS:
            raise ValueError(_few_levels(f"16-bit samples below {256 * LEAST_LEVELS}"))
    return rgb if turn is None else rgb.transpose(turn)


def _is_deep(image: Image.Image) -> bool:
    """Return whether an image that is not decoded yet holds 16-bit samples, whatever its mode."""
    return any(";16" in str(tile[-1]) for tile in getattr(image, "tile", ()))


def _bits_of_jpeg_2000(image: Image.Image) -> int:
    """Return the bits of the samples of a JPEG 2000 that is not decoded yet, 0 where not stated."""
    stream = getattr(image, "fp", None)
    if stream is None:
        return 0
    place = stream.tell()
    stream.seek(0)
    start = stream.read(LARGEST_START)
    stream.seek(place)
    found = start.find(SIZES)
    return (start[found + SIZES_TO_BITS] & 0x7F) + 1 if 0 <= found < len(start) - SIZES_TO_BITS else 0


def _grey(values: Pixels) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def _twelve_bits(image: Image.Image) -> bool:
    return 12 in getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, ())


def _high_byte(values: Pixels, bits: int) -> Pixels:
    largest = int(values.max())
    if 0 < largest >> (bits - 8) < LEAST_LEVELS or 0 < largest < 1 << (bits - 8):
        raise ValueError(_few_levels(f"{bits}-bit values that go up to {largest} only"))
    return values >> (bits - 8)


def _from_integers(values: Pixels) -> Pixels:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"integers from {low} to {high}, which are neither 8-bit nor 16-bit values")
    return values if high <= 255 else _high_byte(values, 16)


def _from_floats(values: Pixels) -> Pixels:
    if not np.isfinite(values).all():
        raise ValueError("floating-point values that are not finite")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255:
        raise ValueError(f"floating-point values from {low:g} to {high:g}, not in [0, 1] or [0, 255]")
    if 1 < high < LEAST_LEVELS:
        raise ValueError(
            _few_levels(f"floating-point values up to {high:g}, which fit neither [0, 1] nor [0, 255]")
        )
    scaled: Pixels = np.rint(values * 255 if high <= 1 else values)
    return scaled


def _few_levels(what: str) -> str:
    return (
        f"{what}: fewer than {LEAST_LEVELS} grey levels would be left; scale them to their full range first"
    )


def _largest(rgb: Image.Image) -> int:
    return max(high for _, high in rgb.getextrema())  # type: ignore[misc]


def _without_transparency(image: Image.Image) -> Image.Image:
    """Return the colours of an 8-bit image, those beneath transparent pixels too."""
    if image.mode in ("PA", "La", "RGBa") or isinstance(image.info.get("transparency"), bytes):
        return image.convert("RGBA").convert("RGB")  # Pillow has no direct way, or warns of it
    return image.convert("RGB")


def has_transparency(image: Image.Image) -> bool:
    """Return whether an opened image says that some of its pixels are transparent."""
    return "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "La", "RGBa")


def changes(image: Image.Image) -> list[str]:
    """Return what is done to an opened image that changes more than its layout in memory."""
    found = []
    if has_transparency(image):
        found.append("have transparency, which is dropped")
    if _is_deep(image) or image.mode.startswith("I;"):
        found.append("are 16-bit, of which the high byte is kept")
    elif image.mode in ("I", "F"):
        found.append("hold integers or floating-point values, which are scaled to 8 bits")
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # an MPO's others are previews
        found.append("have several frames, of which the first is used")
    if orientation(image) != 1:
        found.append("are turned upright, as their EXIF tag says")
    return found
