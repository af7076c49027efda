"""Arguments of `run_pretraining` of other kinds: one line before any work, NumPy's as Python's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmbench
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.runs import RunFolder


def test_numpys_values_are_written_as_pythons(tiny: Dataset, tmp_path: Path) -> None:
    def settings(out: str, epochs: Any, seed: Any, overrides: dict[str, Any], config: dict[str, Any]) -> str:
        folder = mmbench.run_pretraining(
            "moco",
            dataset=tiny,
            out=tmp_path / out,
            arch="mixmask_resnet8",
            epochs=epochs,
            seed=seed,
            threads=1,
            device="cpu",
            overrides=overrides,
            config=config,
        )
        return (folder.root / "settings.yaml").read_text()

    numpys = settings(
        "numpy",
        np.int64(1),
        np.uint8(3),
        {"batch_size": np.int64(16), "optimiser.lr": np.float32(0.25)},
        {"framework": {"queue": np.int32(32)}},
    )
    assert numpys == settings(
        "python", 1, 3, {"batch_size": 16, "optimiser.lr": 0.25}, {"framework": {"queue": 32}}
    )


def test_a_run_that_an_earlier_version_began_goes_on(tiny: Dataset, tmp_path: Path) -> None:
    """It did not refuse a setting without an effect."""
    stated: dict[str, Any] = {"optimiser.name": "adamw", "optimiser.momentum": 0.5, "batch_size": 16}
    config = resolve_config(
        "moco",
        overrides=stated,
        begun=True,
        arch="mixmask_resnet8",
        epochs=1,
        threads=1,
        device="cpu",
        data="tiny",
    )
    begun = pretrain(config, tmp_path / "begun", dataset=tiny)

    def again(out: str) -> RunFolder:
        return mmbench.run_pretraining(
            "moco",
            "tiny",
            dataset=tiny,
            out=tmp_path / out,
            arch="mixmask_resnet8",
            epochs=1,
            threads=1,
            device="cpu",
            overrides=stated,
        )

    weights = begun.weights.read_bytes()
    begun.card.unlink()
    assert again("begun").weights.read_bytes() == weights
    with pytest.raises(UserError, match=r"'optimiser.momentum' of moco.* has no effect"):
        again("new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": -1}, "epochs = -1"),
        ({"epochs": np.float64(1.5)}, "epochs = 1.5: must be a whole number"),
        ({"seed": True}, "seed = True"),
        ({"method": 7}, "method = 7: must be text"),
        ({"scale": 7}, "scale = 7: must be text"),
        ({"overrides": "batch_size=16"}, "overrides = 'batch_size=16': must be settings by name"),
        ({"overrides": {7: 16}}, "7 is not the name of a setting"),
        ({"config": {7: 16}}, "7 is not the name of a setting"),
        ({"config": 7}, "7 is not a path"),
        ({"dataset": "patterns"}, "dataset = 'patterns': must be a Dataset"),
        ({"data_root": 7}, "7 is not a path"),
        ({"out": None}, "None is not a path"),
    ],
)
def test_wrong_arguments_are_one_line_before_any_work(
    given: dict[str, Any], message: str, tiny: Dataset, tmp_path: Path
) -> None:
    arguments = {"method": "moco", "dataset": tiny, "out": tmp_path / "run", "epochs": 1, **given}
    with pytest.raises(UserError, match=message) as caught:
        mmbench.run_pretraining(**arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
