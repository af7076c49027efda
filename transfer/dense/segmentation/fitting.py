"""What of a protocol's settings follows from the training images: the length, and sizes that fit them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mmbench.transfer.dense.common.lengths import length_by_data, shrunk_decays
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

SMALLEST_SIDE = 32  # in pixels, of a crop that is made to fit


def fitted(
    settings: SegmentationSettings, sizes: Sequence[tuple[int, int]]
) -> tuple[SegmentationSettings, list[str]]:
    """Return the settings in force for these training images, and a note on what follows from them.

    Args:
        sizes: (width, height) of every training image, in pixels.
    """
    used, length = _of_length(settings, len(sizes))
    used, size = _of_size(used, round(median(min(size) for size in sizes)))
    return used, [*length, *size]


def _of_length(settings: SegmentationSettings, images: int) -> tuple[SegmentationSettings, list[str]]:
    if settings.epochs is None:
        return settings, []
    batch, fewest, most = settings.batch_size, settings.fewest_iterations, settings.iterations
    length, share = length_by_data(most, settings.epochs, fewest, images=images, batch_size=batch)
    update = {
        "epochs": None,
        "iterations": length,
        "decay_at": shrunk_decays(settings.decay_at, length, share),
        "warmup_iterations": min(settings.warmup_iterations, length // 10),
    }
    note = (
        f"{length} iterations of {batch} images, {length * batch / images:.1f} passes over {images} training "
        f"images (protocol: {settings.epochs} passes, {fewest} to {most} iterations)"
    )
    return settings.model_copy(update=update), [note]


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
