"""From a protocol's settings and a backbone's card to the arguments of mmengine's Runner."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmbench.checkpoints.card import ModelCard
from mmbench.settings.types import legacy_seed
from mmbench.transfer.compute import Precision
from mmbench.transfer.dense.common.library_keys import apply_library
from mmbench.transfer.dense.segmentation.architecture import model_config
from mmbench.transfer.dense.segmentation.parameters import parameters
from mmbench.transfer.dense.segmentation.pipelines import preprocessor_config, test_pipeline, train_pipeline
from mmbench.transfer.dense.segmentation.precision import optim_wrapper
from mmbench.transfer.dense.segmentation.published import published
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

SCHEDULE = "_base_/schedules/schedule_20k.py"  # SGD of momentum 0.9, and poly of power 0.9


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


def _schedule(settings: SegmentationSettings) -> list[dict[str, Any]]:
    """Return the warm-up, whose last iteration has the full rate, and the decay from that rate.

    A warm-up of one iteration is that of two, whose first one has a thousandth: mmengine's LinearLR changes
    the rate from its second step on, so with a single one the rate would stay there for the whole training.
    """
    warmup, end = settings.warmup_iterations, settings.iterations
    found: list[dict[str, Any]] = []
    if warmup > 0:
        linear = {"type": "LinearLR", "start_factor": 1e-3, "begin": 0, "by_epoch": False}
        found.append({**linear, "end": max(2, warmup)})
    if settings.schedule == "step":
        steps = {"type": "MultiStepLR", "gamma": 0.1, "by_epoch": False}
        found.append({**steps, "milestones": list(settings.decay_at)})
    elif warmup < end:
        poly = dict(published(SCHEDULE)["param_scheduler"][0])
        found.append({**poly, "eta_min": settings.final_learning_rate, "begin": warmup, "end": end})
    return found


def _optimizer(settings: SegmentationSettings) -> dict[str, Any]:
    common = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimizer == "sgd":
        return {**published(SCHEDULE)["optim_wrapper"]["optimizer"], **common}
    return {"type": "AdamW", **common}


def build_config(settings: SegmentationSettings, facts: RunFacts) -> dict[str, Any]:
    """Return the Runner's arguments, without data loaders and evaluators.

    "train_pipeline" and "test_pipeline" are no arguments of the Runner but the transforms of its images.

    Raises:
        UserError: the head does not take the architecture, or a key of the library is unknown.
    """
    card = facts.card
    paramwise = {"custom_keys": {"_head": {"lr_mult": settings.head_factor}}}
    config: dict[str, Any] = {
        "model": {
            **model_config(card, settings, facts.weights, len(facts.classes)),
            "data_preprocessor": preprocessor_config(card.preprocessing, settings),
        },
        "work_dir": str(facts.work),
        "train_pipeline": train_pipeline(settings),
        "test_pipeline": test_pipeline(settings),
        "train_cfg": {"type": "SceneTrainLoop", "max_iters": settings.iterations},
        "optim_wrapper": {
            **optim_wrapper(facts.precision, facts.device),
            "optimizer": _optimizer(settings),
            "clip_grad": None,
            "paramwise_cfg": paramwise,
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
    apply_library(config, settings.library, "mmengine", parameters)
    return config
