"""From a protocol's settings and a backbone's card to the arguments of mmengine's Runner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.data.label_maps.types import IGNORED
from mmbench.settings_types import legacy_seed
from mmbench.transfer.compute import Precision
from mmbench.transfer.dense.segmentation.architecture import backbone_config, head_config
from mmbench.transfer.dense.segmentation.precision import optim_wrapper
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

POLY_POWER = 0.9  # Chen et al. 2017 (DeepLab), mmsegmentation's default


@dataclass(frozen=True)
class RunFacts:
    """What a configuration needs to know of one run.

    Attributes:
        card: of the backbone.
        classes: names in the order of labels, background included where it is a class.
        weights: file for mmsegmentation's `ResNet`, if it is the backbone.
        work: folder for logs.
        precision: of the training.
    """

    card: ModelCard
    classes: tuple[str, ...]
    weights: Path | None
    work: Path
    seed: int
    device: torch.device
    precision: Precision = "float32"


def preprocessor_config(preprocessing: Preprocessing, crop: int) -> dict[str, Any]:
    """Return the data preprocessor: the card's normalisation in 0..255, and its high-pass filter."""
    high_pass = preprocessing.high_pass
    return {
        "type": "MMBenchPreprocessor",
        "mean": [255 * value for value in preprocessing.mean],
        "std": [255 * value for value in preprocessing.std],
        "bgr_to_rgb": True,  # OpenCV, which mmcv reads images with, gives BGR
        "filter": None if high_pass is None else high_pass.model_dump(),
        "pad_val": 0,
        "seg_pad_val": IGNORED,
        "size": (crop, crop),  # training only; at evaluation nothing is padded
    }


def _train_transforms(settings: SegmentationSettings) -> list[dict[str, Any]]:
    transforms: list[dict[str, Any]] = [{"type": "LoadScene"}]
    if settings.resize is not None:
        resize = {"type": "RandomResize", "scale": settings.resize, "keep_ratio": True}
        transforms.append({**resize, "ratio_range": settings.scale_range})
    transforms += [
        {"type": "RandomCrop", "crop_size": (settings.crop,) * 2, "cat_max_ratio": settings.largest_share},
        {"type": "RandomFlip", "prob": 0.5},
    ]
    if settings.colour_jitter:
        transforms.append({"type": "PhotoMetricDistortion"})
    return [*transforms, {"type": "PackSegInputs"}]


def _test_transforms(settings: SegmentationSettings) -> list[dict[str, Any]]:
    resize = {"type": "Resize", "scale": settings.resize, "keep_ratio": True}
    resizes = [resize] if settings.resize is not None else []
    return [{"type": "LoadScene"}, *resizes, {"type": "PackSegInputs"}]


def _schedule(settings: SegmentationSettings) -> list[dict[str, Any]]:
    poly = {
        "type": "PolyLR",
        "power": POLY_POWER,
        "eta_min": settings.final_learning_rate,
        "begin": settings.warmup_iterations,
        "end": settings.iterations,
        "by_epoch": False,
    }
    if settings.warmup_iterations == 0:
        return [poly]
    warmup = {"type": "LinearLR", "start_factor": 1e-3, "begin": 0, "by_epoch": False}
    return [{**warmup, "end": settings.warmup_iterations}, poly]


def _optimizer(settings: SegmentationSettings) -> dict[str, Any]:
    common = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "sgd":
        return {"type": "SGD", "momentum": 0.9, **common}
    return {"type": "AdamW", **common}


def build_config(settings: SegmentationSettings, facts: RunFacts) -> dict[str, Any]:
    """Return the Runner's arguments, without data loaders and evaluators.

    "train_pipeline" and "test_pipeline" are no arguments of the Runner but the transforms of its images.

    Raises:
        UserError: timm offers no feature maps of this architecture.
    """
    card = facts.card
    return {
        "model": {
            "type": "MMBenchSegmentor",
            "bfloat16": settings.bfloat16,
            "data_preprocessor": preprocessor_config(card.preprocessing, settings.crop),
            "backbone": backbone_config(card.arch, settings, facts.weights, card.arch_options),
            **head_config(card.arch, settings, len(facts.classes), card.arch_options),
            "train_cfg": {},
            "test_cfg": {"mode": "whole"},
        },
        "work_dir": str(facts.work),
        "train_pipeline": _train_transforms(settings),
        "test_pipeline": _test_transforms(settings),
        "train_cfg": {"type": "SceneTrainLoop", "max_iters": settings.iterations},
        "optim_wrapper": {
            **optim_wrapper(facts.precision, facts.device),
            "optimizer": _optimizer(settings),
            "paramwise_cfg": {"custom_keys": {"_head": {"lr_mult": settings.head_factor}}},
        },
        "param_scheduler": _schedule(settings),
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": 20, "log_metric_by_epoch": False},
            "checkpoint": None,
        },
        "log_processor": {"by_epoch": False},
        "default_scope": "mmseg",
        "randomness": {"seed": legacy_seed(facts.seed)},
    }
