"""Arguments of `load_backbone` and `convert_checkpoint` of other kinds: one line, nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mmbench
from mmbench.errors import UserError

READING: list[tuple[dict[str, Any], str]] = [
    ({"spec": None}, "None is not a path"),
    ({"spec": 7}, "7 is not a path"),
    ({"arch": 7}, "arch = 7: must be text"),
    ({"encoder": "teacher"}, "encoder = 'teacher': must be one of 'default', 'online', 'momentum'"),
    ({"stated": {"mean": 0}}, "stated = .*Stated"),
]
CONVERSION: list[tuple[dict[str, Any], str]] = [
    ({"target": 7}, "target = 7: must be the name of a library"),
    ({"target": "tim"}, "'tim'; did you mean 'timm'"),
    ({"out": None}, "None is not a path"),
    ({"verify": "no"}, "verify = 'no': must be one of True, False, 'later'"),
]


def random_file(folder: Path) -> Path:
    from mmbench.checkpoints.backbone import random_backbone
    from mmbench.checkpoints.writing import convert

    path = folder / "weights.safetensors"
    convert(random_backbone("mixmask_resnet8", 0), path, "safetensors")
    return path


@pytest.mark.parametrize(("given", "message"), READING)
def test_load_backbone(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        mmbench.load_backbone(**{"spec": random_file(tmp_path), **given})


@pytest.mark.parametrize(("given", "message"), [*READING, *CONVERSION])
def test_convert_checkpoint(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    source = random_file(tmp_path)
    before = sorted(tmp_path.iterdir())
    usual: dict[str, Any] = {"spec": source, "target": "timm", "out": tmp_path / "converted"}
    with pytest.raises(UserError, match=message):
        mmbench.convert_checkpoint(**{**usual, **given})
    assert sorted(tmp_path.iterdir()) == before
