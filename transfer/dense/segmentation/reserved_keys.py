"""mmengine's own keys as settings of a protocol, such as model.backbone.norm_eval, and those of the run."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mmbench.errors import shown

LIBRARY_KEY = re.compile(
    r"(model|optim_wrapper|param_scheduler|train_pipeline|test_pipeline|train_cfg|default_hooks|env_cfg|"
    r"log_processor|randomness)(\.[a-z0-9_]+)+",
    re.ASCII,
)
# mmengine's keys that mmbench sets for the run, and what to use instead: another value would break the proof
# of arrival, the continuation or the record. Each ends a name or continues with a dot.
RESERVED = {
    "model.type": "",
    "model.bfloat16": "the setting bfloat16",
    "model.pretrained": "",
    "model.init_cfg": "",
    "model.data_preprocessor": "the checkpoint's card and the setting padding",
    "model.backbone.type": "",
    "model.backbone.depth": "",
    "model.backbone.init_cfg": "",
    "model.backbone.pretrained": "",
    "model.backbone.checkpoint_path": "",
    "model.backbone.model_name": "",
    "model.backbone.features_only": "",
    "model.decode_head.type": "the setting head",
    "model.decode_head.num_classes": "",
    "model.auxiliary_head.num_classes": "",
    "model.test_cfg": "the settings test_mode, test_crop and test_stride",
    "optim_wrapper.type": "--precision",
    "optim_wrapper.optimizer.lr": "the setting learning_rate",
    "train_pipeline.0": "",
    "test_pipeline.0": "",
    "train_cfg": "the setting iterations",
    "default_hooks": "",
    "log_processor": "",
    "randomness": "--seed",
}


def require_free(names: Iterable[str]) -> None:
    """Check that these are keys of mmengine's which the user may set.

    Raises:
        ValueError: one is no key, or belongs to the run.
    """
    for name in names:
        if not LIBRARY_KEY.fullmatch(name):
            raise ValueError(f"{shown(name)} is not a key of mmengine, such as model.backbone.norm_eval")
        for reserved, instead in RESERVED.items():
            if name == reserved or name.startswith(f"{reserved}."):
                use = f"use {instead}" if instead else "omit it"
                raise ValueError(f"{name} belongs to the run, and mmbench sets it; {use}")
