"""Arguments of `mmbench.evaluate` of other kinds: one line before anything is opened, NumPy's as Python's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

import mmbench
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError


def never() -> ImageSplit:
    raise AssertionError("the data were opened")


UNOPENED = Dataset(
    "unopened", Path("unopened"), ("a", "b"), {"train": never, "val": never, "test": never}, 16
)


class Means:
    name: Any = "means"
    identity: Any = "means of quarters, 1"
    preprocessing: Any = mmbench.Preprocessing(image_size=16)

    def encode(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def with_facts(**facts: Any) -> Means:
    encoder = Means()
    for fact, value in facts.items():
        setattr(encoder, fact, value)
    return encoder


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 0}, "seeds = 0: must be several"),
        ({"seeds": "01"}, "seeds = '01'"),
        ({"seeds": [-1]}, "a seed = -1"),
        ({"seeds": [1.5]}, "a seed = 1.5"),
        ({"seeds": [True]}, "a seed = True"),
        ({"seeds": [2**63]}, "a seed = 9223372036854775808"),
        ({"image_size": -5}, "image_size = -5: must be a whole number from 8 to 4096"),
        ({"image_size": 0}, "image_size = 0"),
        ({"image_size": 32.0}, "image_size = 32.0"),
        ({"workers": -1}, "workers = -1"),
        ({"overrides": "neighbours=5"}, "overrides = 'neighbours=5': must be settings by name"),
        ({"overrides": {5: 1}}, "5 is not the name of a setting"),
        ({"overrides": {"neighbours": np.int64(0)}}, "'neighbours' of knn/patterns@2 = 0"),
        ({"arch": 8}, "arch = 8: must be text"),
        ({"arm": 8}, "arm = 8: must be text"),
        ({"device": None}, "device = None: must be 'auto'"),
        ({"out": None}, "None is not a path"),
        ({"bank": 3}, "3 is not a path"),
        ({"stated": {"mean": 0}}, "stated = .*Stated"),
        ({"preprocessing": {"image_size": 32}}, "preprocessing = .*mmbench.Preprocessing"),
        ({"model": None}, "model = None: must be a path"),
        ({"model": 7}, "model = 7: must be a path"),
        ({"model": with_facts(identity=7)}, "the encoder's identity is 7; it must be text"),
        ({"model": with_facts(name=None)}, "the encoder's name is None; it must be text"),
        ({"model": with_facts(preprocessing={})}, "preprocessing of encoder means is {}"),
        ({"data": None}, "data = None: must be the name"),
        ({"data": 7}, "data = 7: must be the name"),
        ({"task": 7}, "task = 7: must be the name"),
        ({"task": ["knn", None]}, "task = None: must be the name"),
    ],
)
def test_wrong_arguments_are_one_line_before_any_work(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    usual: dict[str, Any] = {"model": "random", "task": "knn", "data": UNOPENED, "arch": "mixmask_resnet8"}
    arguments = {**usual, "out": tmp_path / "results", **given}
    if not isinstance(arguments["model"], str):
        del arguments["arch"]
    with pytest.raises(UserError, match=message) as caught:
        mmbench.evaluate(**arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results").exists()


def test_numpys_values_are_recorded_as_pythons(gratings: Dataset, tmp_path: Path) -> None:
    def run(out: str, seeds: Any, size: Any, neighbours: Any, temperature: Any) -> list[str]:
        overrides = {"neighbours": neighbours, "temperature": temperature}
        results = mmbench.evaluate(
            "random",
            "knn",
            gratings,
            arch="mixmask_resnet8",
            seeds=seeds,
            image_size=size,
            overrides=overrides,
            out=tmp_path / out,
            device="cpu",
        )
        assert [result.seed for result in results] == [0, 1]
        return [path.name for path in sorted((tmp_path / out).rglob("*.json"))]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numpys = run("numpy", np.arange(2), np.int64(16), np.int64(5), np.float32(0.25))
    assert numpys == run("python", [0, 1], 16, 5, 0.25)
