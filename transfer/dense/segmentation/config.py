"""From a protocol's settings and a backbone's card to the arguments of mmengine's Runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.data import Scenes
from mmbench.data.types import Split
from mmbench.settings_types import legacy_seed
from mmbench.transfer.dense.common.splits import SceneSplits
from mmbench.transfer.dense.segmentation import metric  # noqa: F401  (registers it with mmsegmentation)
from mmbench.transfer.dense.segmentation.architecture import backbone_config, head_config
from mmbench.transfer.dense.segmentation.scenes import IGNORED
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

POLY_POWER = 0.9  # Chen et al. 2017 (DeepLab), mmsegmentation's default


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
    transforms: list[dict[str, Any]] = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]
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
    return [
        {"type": "LoadImageFromFile"},
        *([resize] if settings.resize is not None else []),
        {"type": "LoadAnnotations"},  # after Resize: label maps are compared at their own size
        {"type": "PackSegInputs"},
    ]


def _loader(
    scenes: Scenes, split: Split, transforms: list[dict[str, Any]], batch: int, workers: int
) -> dict[str, Any]:
    return {
        "batch_size": batch,
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "dataset": {
            "type": "MMBenchScenes",
            "metainfo": {"classes": ("background", *scenes.classes)},
            "data_prefix": {
                "img_path": str(scenes.images(split)),
                "seg_map_path": str(scenes.segmentation(split)),
            },
            "pipeline": transforms,
        },
    }


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


def build_config(
    card: ModelCard,
    settings: SegmentationSettings,
    splits: SceneSplits,
    *,
    weights: Path | None,
    work: Path,
    seed: int,
) -> dict[str, Any]:
    """Return the Runner's arguments.

    Args:
        card: of the backbone.
        splits: the scenes that are trained on and evaluated.
        weights: file for mmsegmentation's `ResNet`, if it is the backbone.
        work: folder for logs.

    Raises:
        UserError: timm offers no feature maps of this architecture.
    """
    scenes = splits.scenes
    train = _loader(scenes, "train", _train_transforms(settings), settings.batch_size, settings.workers)
    train["sampler"] = {"type": "InfiniteSampler", "shuffle": True}
    train["dataset"]["indices"] = splits.subset
    test = _loader(
        scenes, splits.evaluated, _test_transforms(settings), settings.test_batch, settings.workers
    )
    test["sampler"] = {"type": "DefaultSampler", "shuffle": False}
    test["dataset"]["test_mode"] = True
    return {
        "model": {
            "type": "MMBenchSegmentor",
            "bfloat16": settings.bfloat16,
            "data_preprocessor": preprocessor_config(card.preprocessing, settings.crop),
            "backbone": backbone_config(card.arch, settings, weights, card.arch_options),
            **head_config(card.arch, settings, len(scenes.classes) + 1, card.arch_options),
            "train_cfg": {},
            "test_cfg": {"mode": "whole"},
        },
        "work_dir": str(work),
        "train_dataloader": train,
        "test_dataloader": test,
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": settings.iterations},
        "test_cfg": {"type": "TestLoop"},
        "test_evaluator": {"type": "ExactIoUMetric", "iou_metrics": ["mIoU"], "ignore_index": IGNORED},
        "optim_wrapper": {
            "type": "OptimWrapper",
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
        "randomness": {"seed": legacy_seed(seed)},
    }
