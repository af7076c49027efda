"""What of a protocol's settings follows from the training images: the length, and sizes that fit them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

SMALLEST_SIDE = 32  # in pixels, of a crop that is made to fit


def fitted(
    settings: SegmentationSettings, sizes: Sequence[tuple[int, int]]
) -> tuple[SegmentationSettings, list[str]]:
    """Return the settings in force for these training images, and a note on what follows from them.

    Args:
        sizes: (width, height) of every training image, in pixels.
    """
    length = settings.length_note(len(sizes))
    used, size = _of_size(settings.effective(len(sizes)), round(median(min(size) for size in sizes)))
    return used, [*([length] if length else []), *size]


def _of_size(settings: SegmentationSettings, shorter: int) -> tuple[SegmentationSettings, list[str]]:
    if not settings.fit_images or settings.resize is None or shorter >= min(settings.resize):
        return settings, []
    side = max(SMALLEST_SIDE, shorter)
    long = max(side, round(max(settings.resize) * side / min(settings.resize)))
    height, width = (min(length, side) for length in settings.crop_size)
    update = {"resize": (long, side), "crop": height if height == width else (height, width)}
    note = (
        f"resize ({long}, {side}) and not {settings.resize}, crop {height} x {width} px: half of the "
        f"training images have a shorter side of at most {shorter} px"
    )
    return settings.model_copy(update=update), [note]
