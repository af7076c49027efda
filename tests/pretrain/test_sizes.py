"""The size that is trained at is said and recorded, and so is how evaluation looks at these images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from small_runs import small, stopped

from mmbench.checkpoints.card import OWN_IMAGES
from mmbench.checkpoints.reading import load_backbone
from mmbench.data import Dataset, load_dataset
from mmbench.errors import UserError
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.knn_monitor import KnnMonitor
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.base import Part
from mmbench.pretrain.sources.opening import open_source
from mmbench.runs import RunFolder, read_settings

CPU = torch.device("cpu")


def write_images(root: Path, side: int, count: int = 64, wide: int | None = None) -> Path:
    rng = np.random.default_rng(0)
    for split, many in (("train", count), ("val", 8), ("test", 8)):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for index in range(many // 2):
                pixels = rng.integers(0, 255, (side, wide or side, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{index:03}.png")
    return root


def config_of(root: Path, *overrides: str) -> PretrainConfig:
    return small(epochs=1, data=str(root), overrides=("framework.queue=32", *overrides))


@pytest.mark.parametrize(
    ("side", "overrides", "crop_pct", "larger"),
    [
        (240, (), 0.8, 224),
        (64, (), 0.8, 64),
        (100, (), 0.8, 96),
        (63, (), 0.8, None),
        (28, (), 1.0, None),
        (32, (), 1.0, None),
        (64, ("image_size=64",), 1.0, None),
        (240, ("loading=files",), 0.875, 224),
        (30, ("loading=files",), 1.0, None),
    ],
)
def test_sizes_are_those_of_the_files(
    tmp_path: Path, side: int, overrides: tuple[str, ...], crop_pct: float, larger: int | None
) -> None:
    root = write_images(tmp_path / "set", side)
    source = open_source(config_of(root, *overrides), load_dataset(str(root)), CPU)
    assert source.crop_pct == crop_pct
    assert source.sides is not None and str(source.sides) == f"{side} px files"
    if larger is None:
        assert source.remarks() == []
    else:
        (line,) = source.remarks()
        assert line.startswith(f"{side} px files are trained at 32 px") and "\n" not in line
        assert line.endswith(f"--set image_size={larger}")


@pytest.mark.parametrize(("side", "crop_pct"), [(240, 0.8), (28, 1.0)])
def test_a_run_says_and_records_its_size(tmp_path: Path, side: int, crop_pct: float) -> None:
    root, said = write_images(tmp_path / "set", side), []
    config = config_of(root)
    folder = pretrain(config, tmp_path / "run", dataset=load_dataset(str(root)), say=said.append)
    told = [line for line in said if "--set image_size=" in line]
    assert len(told) == (side == 240)
    settings = yaml.safe_load(folder.settings.read_text())
    assert settings["image_size"] == settings["effective"]["image_size"] == 32
    assert settings["effective"]["images_are"] == f"{side} px files"
    card = load_backbone(str(folder.root)).card
    hub = json.loads(folder.hub_config.read_text())
    assert hub["pretrained_cfg"]["crop_pct"] == card.preprocessing.crop_pct == crop_pct
    assert hub["mmbench"]["preprocessing"]["crop_pct"] == crop_pct
    assert card.origins["crop_pct"] == OWN_IMAGES
    # Without the card, the weights do not begin to state how other images are to be looked at.
    alone = tmp_path / "alone"
    shutil.copytree(folder.root, alone)
    for name in ("card.json", "settings.yaml"):
        (alone / name).unlink()
    header = load_file(alone / "model.safetensors")
    save_file(header, alone / "model.safetensors", metadata={"format": "pt"})
    without = load_backbone(str(alone)).card
    assert without.preprocessing.crop_pct == crop_pct and without.origins["crop_pct"] == OWN_IMAGES
    # Finished, the same command says so, and another size is another run.
    pretrain(config, folder.root, dataset=load_dataset(str(root)), say=said.append)
    assert "finished already" in said[-1]
    with pytest.raises(UserError, match="image_size: 32 there, 40 now"):
        pretrain(config_of(root, "image_size=40"), folder.root, dataset=load_dataset(str(root)))


def test_a_run_that_was_begun_with_null_goes_on(tiny: Dataset, tmp_path: Path) -> None:
    """As runs were recorded before sizes were resolved."""
    stopped(small(), tmp_path / "run", 6, tiny)
    path = RunFolder(tmp_path / "run").settings
    settings = read_settings(path)
    assert settings["image_size"] == 16
    settings["image_size"] = None
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    assert pretrain(small(), tmp_path / "run", dataset=tiny).finished


@pytest.mark.parametrize(("side", "stored"), [(28, 32), (32, 32), (33, 40), (64, 40)])
def test_the_monitor_sees_small_images_whole(tmp_path: Path, side: int, stored: int) -> None:
    root = write_images(tmp_path / "set", side)
    from mmbench.checkpoints.card import Preprocessing

    monitor = KnnMonitor(load_dataset(str(root)), Preprocessing(image_size=32), CPU)
    assert monitor.bank.images.shape[-2:] == monitor.queries.images.shape[-2:] == (stored, stored)


@pytest.mark.parametrize(
    ("wide", "loading", "lost"),
    [
        (200, "auto", "80%"),
        (200, "memory", "80%"),
        (60, "memory", "33%"),
        (53, "auto", None),
        (200, "files", None),
    ],
)
def test_a_run_says_and_records_that_much_is_never_seen(
    tmp_path: Path, wide: int, loading: str, lost: str | None
) -> None:
    root, said = write_images(tmp_path / "set", 40, wide=wide), list[str]()
    config = config_of(root, f"loading={loading}", "workers=0")
    folder = pretrain(config, tmp_path / "run", dataset=load_dataset(str(root)), say=said.append)
    told = [line for line in said if "centre square" in line]
    recorded = read_settings(folder.settings)["effective"]["images_are"]
    if lost is None:
        assert not told and recorded == "40 px files (short side)"
        return
    (line,) = told
    assert f"the median image loses {lost} of its pixels" in line and line.endswith("--set loading=files")
    assert (
        recorded == f"40 px files (short side), centre squares; the median image loses {lost} of its pixels"
    )


def test_what_is_said_of_squares_is_so(tmp_path: Path) -> None:
    """A mark outside the centre square is in no image in memory, and in crops of files."""
    root = tmp_path / "set"
    (root / "train" / "a").mkdir(parents=True)
    for number in range(20):
        image = Image.new("RGB", (200, 40))
        image.paste((255, 255, 255), (0, 0, 60, 40))
        image.save(root / "train" / "a" / f"{number}.png")
    seen = {}
    for loading in ("memory", "files"):
        config = config_of(root, f"loading={loading}", "workers=0", "batch_size=16")
        source = open_source(config, load_dataset(str(root)), CPU)
        (batch,) = source.batches([Part(0, torch.arange(len(source)))])
        seen[loading] = int(batch.max())
    assert seen == {"memory": 0, "files": 255}
