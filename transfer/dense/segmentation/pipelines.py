"""What images go through before they reach the network: mmsegmentation's transforms, and normalisation."""

from __future__ import annotations

from typing import Any

from mmbench.checkpoints.card import Preprocessing
from mmbench.data.label_maps.types import IGNORED
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings


def train_pipeline(settings: SegmentationSettings) -> list[dict[str, Any]]:
    """Return the transforms of training images."""
    transforms: list[dict[str, Any]] = [{"type": "LoadScene"}]
    if settings.resize is not None:
        resize = {"type": "RandomResize", "scale": settings.resize, "keep_ratio": True}
        transforms.append({**resize, "ratio_range": settings.scale_range})
    transforms += [
        {"type": "RandomCrop", "crop_size": settings.crop_size, "cat_max_ratio": settings.largest_share},
        {"type": "RandomFlip", "prob": 0.5},
    ]
    if settings.colour_jitter:
        transforms.append({"type": "PhotoMetricDistortion"})
    return [*transforms, {"type": "PackSegInputs"}]


def test_pipeline(settings: SegmentationSettings) -> list[dict[str, Any]]:
    """Return the transforms of evaluated images."""
    resize = {"type": "Resize", "scale": settings.resize, "keep_ratio": True}
    resizes = [resize] if settings.resize is not None and settings.resize_at_test else []
    return [{"type": "LoadScene"}, *resizes, {"type": "PackSegInputs"}]


def preprocessor_config(preprocessing: Preprocessing, settings: SegmentationSettings) -> dict[str, Any]:
    """Return the data preprocessor: the card's normalisation in 0..255, and its high-pass filter."""
    high_pass = preprocessing.high_pass
    return {
        "type": "MMBenchPreprocessor",
        "mean": [255 * value for value in preprocessing.mean],
        "std": [255 * value for value in preprocessing.std],
        "bgr_to_rgb": True,  # images come as BGR, as mmcv reads them
        "filter": None if high_pass is None else high_pass.model_dump(),
        "padding": settings.padding,
        "pad_val": 0,
        "seg_pad_val": IGNORED,
        "size": settings.crop_size,  # training only; at evaluation nothing is padded
    }
