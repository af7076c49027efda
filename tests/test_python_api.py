"""Every argument of the Python API with values of other kinds: one line that names it, before any work."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmbench
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError

BAD: dict[str, Any] = {
    "number": 5,
    "large": 2**70,
    "fraction": 0.5,
    "none": None,
    "true": True,
    "bytes": b"x",
    "list": [],
    "mapping": {},
    "array": np.array([1, 2]),
    "rows": np.ones((3, 3)),
    "tensor": torch.tensor(2),
    "object": object(),
    "text": "no such thing",
    "null byte": "a\0b",
}
# Values that an argument may have, by its kind.
FINE = {
    "text": ("none", "text", "null byte"),  # of texts the value is judged later
    "path": ("text",),
    "no path": ("none", "text"),
    "number": ("number", "none", "tensor"),
    "flag": ("true",),
    "function": (),
    "nothing": (),
}


def never() -> ImageSplit:
    raise AssertionError("the data were opened")


def call(name: str, folder: Path) -> tuple[Callable[..., Any], dict[str, Any]]:
    splits = {"train": never, "val": never, "test": never}
    unopened = Dataset("unopened", Path("unopened"), ("a", "b"), splits, 16)
    function = getattr(mmbench, name)
    usual: dict[str, dict[str, Any]] = {
        "evaluate": {
            "model": "random",
            "task": "knn",
            "data": unopened,
            "arch": "mixmask_resnet8",
            "out": folder / "results",
        },
        "run_pretraining": {"method": "moco", "dataset": unopened, "out": folder / "run", "epochs": 1},
        "load_backbone": {"spec": folder / "weights.safetensors"},
        "convert_checkpoint": {
            "spec": folder / "weights.safetensors",
            "target": "timm",
            "out": folder / "converted",
        },
        "build_leaderboard": {"results": folder},
    }
    return function, usual[name]


KINDS: dict[str, dict[str, str]] = {
    "evaluate": {
        "model": "path",
        "task": "nothing",
        "data": "path",
        "protocol": "no path",
        "seeds": "seeds",
        "data_root": "path",
        "layout": "text",
        "out": "path",
        "overrides": "settings",
        "arch": "text",
        "image_size": "size",
        "stated": "nothing",
        "name": "text",
        "arm": "text",
        "preprocessing": "no path",
        "device": "nothing",
        "precision": "nothing",
        "workers": "number",
        "bank": "no path",
        "labels_file": "no path",
        "plot": "flag",
        "report": "function",
        "say": "function",
    },
    "run_pretraining": {
        "method": "text",
        "data": "no path",
        "out": "path",
        "scale": "text",
        "framework": "text",
        "masking": "text",
        "arch": "text",
        "epochs": "number",
        "seed": "number",
        "device": "no path",
        "threads": "number",
        "data_root": "no path",
        "dataset": "none",
        "config": "config",
        "overrides": "several",
        "report": "none",
        "say": "function",
    },
    "load_backbone": {"spec": "path", "arch": "text", "encoder": "nothing", "stated": "nothing"},
    "convert_checkpoint": {
        "spec": "path",
        "target": "text, given",
        "out": "path",
        "arch": "text",
        "encoder": "nothing",
        "stated": "nothing",
        "verify": "flag",
        "without_high_pass": "flag",
        "force": "flag",
    },
    "build_leaderboard": {
        "results": "path",
        "baseline": "text",
        "statistic": "nothing",
        "where": "several",
    },
}
FINE |= {
    "seeds": ("none", "array"),
    "settings": ("none", "mapping"),
    "size": ("none",),
    "none": ("none",),
    "config": ("none", "mapping", "text"),
    "several": ("none", "list", "mapping"),
    "text, given": ("text", "null byte"),
}
CASES = [
    (name, argument, bad)
    for name, kinds in KINDS.items()
    for argument, kind in kinds.items()
    for bad in BAD
    if bad not in FINE[kind]
]


@pytest.mark.parametrize("name", KINDS)
def test_every_argument_is_in_the_table(name: str) -> None:
    assert list(inspect.signature(getattr(mmbench, name)).parameters) == list(KINDS[name])


@pytest.mark.parametrize(("name", "argument", "bad"), CASES)
def test_a_value_of_another_kind_is_one_line_that_names_its_argument(
    name: str, argument: str, bad: str, tmp_path: Path
) -> None:
    function, usual = call(name, tmp_path)
    with pytest.raises(UserError) as caught:
        function(**{**usual, argument: BAD[bad]})
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400
    assert argument in message
    assert not list(tmp_path.iterdir())
