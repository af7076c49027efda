"""mmengine's own keys as settings, such as optim_wrapper.optimizer.momentum, and those of the run."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mmbench.errors import shown

LIBRARY_KEY = re.compile(
    r"(model|optim_wrapper|param_scheduler|train_pipeline|test_pipeline|train_cfg|default_hooks|env_cfg|"
    r"log_processor|randomness)(\.[a-z0-9_]+)+",
    re.ASCII,
)
SCHEDULE = {
    "begin": "--set warmup_iterations=...",
    "by_epoch": "",
    "end": "--set iterations=... or warmup_iterations",
    "eta_min": "--set final_learning_rate=...",
    "milestones": "--set decay_at=...",
    "type": "--set schedule=...",
}
HEADS = ("model.decode_head", "model.auxiliary_head")
# mmengine's keys that mmbench sets for the run, and what to use instead: another value would break the proof
# of arrival, the continuation or the record. Each ends a name or continues with a dot.
RESERVED = {
    "model.type": "",
    "model.bfloat16": "--set bfloat16=...",
    "model.pretrained": "",
    "model.init_cfg": "",
    "model.data_preprocessor": "the checkpoint's card and --set padding=...",
    "model.backbone.type": "",
    "model.backbone.depth": "",
    "model.backbone.dilations": "--set output_stride=...",
    "model.backbone.frozen_stages": "",
    "model.backbone.in_channels": "",
    "model.backbone.init_cfg": "",
    "model.backbone.norm_cfg": "",
    "model.backbone.norm_eval": "",
    "model.backbone.num_stages": "",
    "model.backbone.out_indices": "--set finest_stride=...",
    "model.backbone.pretrained": "",
    "model.backbone.checkpoint_path": "",
    "model.backbone.model_name": "",
    "model.backbone.features_only": "",
    "model.backbone.strides": "--set output_stride=...",
    **{f"{head}.{key}": "" for head in HEADS for key in ("ignore_index", "in_channels", "in_index")},
    **{f"{head}.{key}": "" for head in HEADS for key in ("input_transform", "num_classes", "out_channels")},
    **{f"{head}.dropout_ratio": "--set dropout=..." for head in HEADS},
    **{f"{head}.align_corners": "--set align_corners=..." for head in HEADS},
    "model.decode_head.bfloat16": "--set bfloat16=...",
    "model.decode_head.c1_channels": "--set low_level_channels=...",
    "model.decode_head.c1_in_channels": "",
    "model.decode_head.channels": "--set head_channels=...",
    "model.decode_head.concat_input": "--set head_concat=...",
    "model.decode_head.dilation": "--set head_dilation=...",
    "model.decode_head.dilations": "--set aspp_dilations=...",
    "model.decode_head.num_convs": "--set head_convs=...",
    "model.decode_head.pool_scales": "--set pool_scales=...",
    "model.decode_head.type": "--set head=...",
    "model.auxiliary_head.channels": "--set auxiliary_channels=...",
    "model.auxiliary_head.loss_decode.loss_weight": "--set auxiliary_weight=...",
    "model.auxiliary_head.type": "",
    "model.test_cfg": "--set test_mode=..., test_crop and test_stride",
    "optim_wrapper.type": "--precision",
    "optim_wrapper.optimizer.lr": "--set learning_rate=...",
    "optim_wrapper.optimizer.type": "--set optimizer=...",
    "optim_wrapper.optimizer.weight_decay": "--set weight_decay=...",
    "optim_wrapper.paramwise_cfg.custom_keys._head.lr_mult": "--set head_factor=...",
    **{f"param_scheduler.{part}.{key}": use for part in (0, 1) for key, use in SCHEDULE.items()},
    "train_pipeline.0": "",
    "test_pipeline.0": "",
    "train_cfg": "--set iterations=...",
    "default_hooks": "",
    "log_processor": "",
    "randomness": "--seed",
}
EXAMPLE = "optim_wrapper.optimizer.momentum"


def require_free(names: Iterable[str]) -> None:
    """Check that these are keys of mmengine's which the user may set.

    Raises:
        ValueError: one is no key, or belongs to the run.
    """
    for name in names:
        if not LIBRARY_KEY.fullmatch(name):
            raise ValueError(f"{shown(name)} is not a key of mmengine, such as {EXAMPLE}")
        for reserved, instead in RESERVED.items():
            if name == reserved or name.startswith(f"{reserved}."):
                use = f"use {instead}" if instead else "omit it"
                raise ValueError(f"{name} belongs to the run, and mmbench sets it; {use}")
