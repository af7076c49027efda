"""What a user states and what would have no effect beside the other settings is refused, of every task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mmbench
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.tasks import TASKS, TaskSettings
from mmbench.transfer.dense.common.quiet import quiet_import
from mmbench.transfer.measuring import measure
from mmbench.transfer.protocol import protocols
from mmbench.transfer.request import TransferRequest
from mmbench.transfer.resolution import resolve_task

OWN, LEOPART, DINO = "detection/own@1", "dense/linear-leopart@1", "dense/linear-dinov3@1"
# Protocol, what is stated, the setting without an effect, and the end of the line about it.
WITHOUT = [
    (
        OWN,
        {"optimizer": "adamw", "SOLVER.MOMENTUM": 0.8},
        "with optimizer=adamw; omit it, or set optimizer=sgd",
    ),
    (OWN, {"optimizer": "adamw", "SOLVER.NESTEROV": True}, "set optimizer=sgd"),
    (
        OWN,
        {"warmup_iterations": 0, "SOLVER.WARMUP_FACTOR": 0.1},
        "without warmup_iterations; omit it, or set warmup",
    ),
    (
        OWN,
        {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR", "decay_at": [9]},
        "LR_SCHEDULER_NAME=WarmupMultiStepLR",
    ),
    (OWN, {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR", "SOLVER.GAMMA": 0.5}, "=WarmupCosineLR; omit it"),
    (OWN, {"decay_at": [], "SOLVER.GAMMA": 0.5}, "without decay_at; omit it, or set decay_at=..."),
    (OWN, {"SOLVER.BASE_LR_END": 0.1}, "set SOLVER.LR_SCHEDULER_NAME=WarmupCosineLR"),
    (
        OWN,
        {"SOLVER.CLIP_GRADIENTS.CLIP_VALUE": 2.0},
        "without SOLVER.CLIP_GRADIENTS.ENABLED; omit it, or set SOLVER",
    ),
    (OWN, {"INPUT.CROP.SIZE": [0.5, 0.5]}, "without INPUT.CROP.ENABLED"),
    (OWN, {"MODEL.RETINANET.PRIOR_PROB": 0.1}, "with detector=fpn; omit it, or set detector=retinanet"),
    (OWN, {"mask_convs": 2}, "without masks; omit it, or set masks=true"),
    (OWN, {"MODEL.ROI_MASK_HEAD.CONV_DIM": 64}, "without masks; omit it, or set masks=true"),
    (OWN, {"freeze_at": 5, "backbone_lr_factor": 0.5}, "with freeze_at=5; omit it, or set freeze_at=0"),
    ("detection/patterns@1", {"detector": "c4", "pyramid_channels": 32}, "with detector=c4; omit it, or set"),
    (LEOPART, {"optimizer": "adamw", "momentum": 0.8}, "with optimizer=adamw; omit it, or set optimizer=sgd"),
    (LEOPART, {"warmup_iterations": 5}, "with schedule=step; omit it, or set schedule=one-cycle"),
    (
        LEOPART,
        {"scale_range": [0.5, 2.0]},
        "with augmentation=resized-crop; omit it, or set augmentation=scaled",
    ),
    (LEOPART, {"test_stride": 100}, "with test_mode=squash; omit it, or set test_mode=slide"),
    (DINO, {"decay_epochs": [1]}, "with schedule=one-cycle; omit it, or set schedule=step"),
    (DINO, {"warmup_iterations": 0, "warmup_start": 0.1}, "without warmup_iterations"),
    (
        "dense/knn-patterns@1",
        {"jitter": 0.1},
        "with augmentation=none; omit it, or set augmentation=resized-crop",
    ),
    (
        "segmentation/own@1",
        {"auxiliary_weight": 0, "auxiliary_channels": 64},
        "without auxiliary_weight; omit",
    ),
    (
        "segmentation/own@1",
        {"resize": None, "scale_range": [1.0, 1.0], "fit_images": True},
        "without resize;",
    ),
    ("finetune/patterns@1", {"decay_factor": 0.5}, "without decay_epochs; omit it, or set decay_epochs=..."),
    ("linear/moco@1", {"decay_epochs": [], "decay_factor": 0.5}, "without decay_epochs; omit it, or set"),
    (
        "linear/sweep@1",
        {"crop_scale": [0.2, 1.0]},
        "with features=sweep; omit it, or set features=augmented-sweep",
    ),
]


@pytest.mark.parametrize(("protocol", "stated", "reason"), WITHOUT)
def test_a_stated_setting_without_an_effect_is_refused(
    protocol: str, stated: dict[str, Any], reason: str
) -> None:
    *others, name = stated
    if others:
        resolve_task(None, protocol, {other: stated[other] for other in others}).require_effects()
    task = resolve_task(None, protocol, stated)
    with pytest.raises(UserError) as caught:
        task.require_effects()
    line = str(caught.value)
    assert line.startswith(f"setting '{name}' of {protocol} = ") and ": has no effect " in line
    assert reason in line and "\n" not in line


@pytest.mark.parametrize(
    ("protocol", "stated"),
    [
        (OWN, {"SOLVER.MOMENTUM": 0.8, "SOLVER.NESTEROV": True, "SOLVER.GAMMA": 0.5}),
        (OWN, {"masks": True, "mask_convs": 2, "MODEL.ROI_MASK_HEAD.CONV_DIM": 64}),
        (OWN, {"SOLVER.CLIP_GRADIENTS.ENABLED": True, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": 2.0}),
        (OWN, {"optimizer": "adamw", "SOLVER.NESTEROV": False}),  # says what is the case
        (
            "detection/patterns@1",
            {"pyramid_channels": 32, "c4_anchor_sizes": [32]},
        ),  # the architecture decides
        (LEOPART, {"optimizer": "adamw"}),  # whose own momentum waits for another optimiser
        (LEOPART, {"test_mode": "slide", "test_stride": 100}),
        ("linear/moco-sweep@1", {"crop_scale": [0.2, 1.0]}),
    ],
)
def test_what_has_an_effect_is_taken(protocol: str, stated: dict[str, Any]) -> None:
    task = resolve_task(None, protocol, stated)
    task.require_effects()
    settings = task.settings
    values = {**getattr(settings, "library", {}), **dict(settings)}
    for name, value in stated.items():
        assert values[name] == (tuple(value) if isinstance(value, list) else value)


def is_key(name: str, config: Any) -> bool:
    """Whether a configuration of mappings has this key or section."""
    for part in name.split("."):
        if part not in config:
            return False
        config = config[part]
    return True


def test_marks_name_settings_that_are_there() -> None:
    """A misspelled name would refuse a setting for good."""
    models: set[type[TaskSettings]] = set()
    for protocol in protocols().values():
        models.add(TASKS.get(protocol.task).settings.variant(protocol.settings))
    marks = [
        (model, name, mark) for model in models for name in model.effects() for mark in model.effects()[name]
    ]
    assert len(marks) > 20
    with quiet_import():
        from detectron2.config import get_cfg
    usual = get_cfg()
    fields = {name for model in models for name in model.model_fields}
    for model, name, mark in marks:
        # A key may wait for a setting that other detectors do not have.
        known = model.model_fields if name in model.model_fields else fields
        for one in filter(None, (mark, mark.unless)):
            assert one.setting in known or is_key(one.setting, usual), one.setting
        assert name in model.model_fields or is_key(name, usual), name


def test_a_study_that_an_earlier_version_began_goes_on(gratings: Dataset, tmp_path: Path) -> None:
    """Its records were measured with a setting without an effect, and others are compared with them."""
    stated = {"epochs": 1, "decay_epochs": [], "decay_factor": 0.5}
    task = resolve_task(None, "linear/moco@1", stated)
    asked: dict[str, Any] = {"arch": "mixmask_resnet8", "device": "cpu", "out": tmp_path / "results"}
    (begun,) = measure(TransferRequest((task,), "random", gratings, (0,), **asked))

    def again(seed: int, stated: dict[str, Any], **changes: Any) -> Any:
        chosen: dict[str, Any] = {**asked, "protocol": "linear/moco@1", "overrides": stated, **changes}
        return mmbench.evaluate("random", "linear", gratings, seeds=[seed], **chosen)[0]

    assert again(0, stated) == begun.result
    assert again(1, stated).config == begun.result.config
    for other, changes in (
        ({**stated, "decay_factor": 0.4}, {}),
        (stated, {"out": tmp_path / "new"}),
    ):
        with pytest.raises(UserError, match=r"setting .decay_factor. of linear/moco@1 = .* has no effect"):
            again(0, other, **changes)
    assert not (tmp_path / "new").exists()
