"""Images that are replaced by others of the same names, sizes and times are other data: nothing is reused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import run_task

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import load_dataset
from mmbench.data.file_facts import fact_database
from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.session import Requests
from mmbench.records.store import ResultStore
from mmbench.transfer.inputs import images as image_inputs
from mmbench.transfer.inputs.feature_bank import FeatureBank


def write(folder: Path, separable: bool, ending: str) -> None:
    """Two classes of images in a format of fixed size in bytes; light and dark, or noise alike."""
    generator = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for index, name in enumerate(("a", "b")):
            for number in range(8):
                path = folder / split / name / f"{number}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                shift = 150 * index if separable else 75
                pixels = generator.integers(0, 100, (24, 24, 3)) + shift
                Image.fromarray(pixels.astype(np.uint8)).save(path)
                os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.fixture(params=[".bmp", ".ppm", ".tiff"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fact_database, "WORTH_KEEPING_SECONDS", -1.0)
    monkeypatch.setattr(image_inputs, "LARGEST_IN_MEMORY", 8)
    write(tmp_path / "data", True, request.param)
    return tmp_path / "data"


def replace(folder: Path) -> None:
    ending = next(folder.rglob("0.*")).suffix
    sizes = [path.stat().st_size for path in sorted(folder.rglob("*.*")) if path.suffix == ending]
    write(folder, False, ending)
    assert sizes == [path.stat().st_size for path in sorted(folder.rglob("*.*")) if path.suffix == ending]
    load_dataset.cache_clear()


def test_neither_the_record_nor_the_features_of_the_old_images_are_used(folder: Path, tmp_path: Path) -> None:
    def top1(bank: Path | None, results: str) -> tuple[float, int]:
        made = FeatureBank(bank)
        backbone: Backbone = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=16))
        result = run_task(
            *("knn", backbone, load_dataset(str(folder)), ResultStore(tmp_path / results)),
            work=tmp_path / "work",
            overrides={"neighbours": 3},
            bank=made,
            workers=0,
        )
        return result.metrics["top1"].value, made.computed

    bank = tmp_path / "bank"
    assert top1(bank, "results") == (100.0, 32)
    assert top1(bank, "results") == (100.0, 0)  # the record
    replace(folder)
    truth, _ = top1(None, "alone")
    assert truth < 100
    assert top1(bank, "results") == (truth, 32)
    assert len(list(ResultStore(tmp_path / "results"))) == 2


@pytest.mark.parametrize("loading", ["memory", "files"])
def test_pretraining_does_not_go_on_with_other_images(folder: Path, tmp_path: Path, loading: str) -> None:
    overrides = ("batch_size=8", "framework.queue=20", f"loading={loading}", "workers=0")
    config = resolve_config("moco", data=str(folder), epochs=2, device="cpu", threads=1, overrides=overrides)
    say: Callable[[str], None] = lambda words: None  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, tmp_path / "run", requests=Requests(stop=True), say=say)
    replace(folder)
    with pytest.raises(UserError, match="its fingerprint changed"):
        pretrain(config, tmp_path / "run", say=say)
