"""Tasks on data sets in their own layouts, read by torchvision: photographs, and several labels each."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import run_task

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import load_dataset
from mmbench.data.sets.voc2007 import CLASSES
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.images import FileImages, open_images

Runner = Callable[..., Result]
Writer = Callable[..., Path]


@pytest.fixture(autouse=True)
def fresh_data_sets() -> Iterator[None]:
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


@pytest.fixture
def large() -> Backbone:
    """A small backbone that is fed 72 px: above what is kept decoded."""
    return random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=72))


@pytest.fixture
def run(tmp_path: Path, large: Backbone) -> Runner:
    bank = FeatureBank(tmp_path / "features")

    def run(name: str, protocol: str, **overrides: Any) -> Result:
        return run_task(
            *(
                protocol.partition("/")[0],
                large,
                load_dataset(name, tmp_path),
                ResultStore(tmp_path / "results"),
            ),
            work=tmp_path / "work",
            protocol_id=protocol,
            overrides=overrides,
            device=torch.device("cpu"),
            bank=bank,
            workers=1,
        )

    return run


def photograph(path: Path, tone: tuple[int, int, int], number: int) -> None:
    """Write a JPEG of some size: a tone under noise."""
    rng = np.random.default_rng(number)
    noise = rng.normal(0, 25, (80 + number % 7, 90 + number % 5, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.array(tone) + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def textures(tmp_path: Path, stand_in: Callable[..., None]) -> None:
    """DTD with three classes: images by class, and a list per split."""
    home, numbers = tmp_path / "dtd" / "dtd" / "dtd", itertools.count()
    tones = {"banded": (190, 60, 60), "dotted": (60, 190, 60), "woven": (60, 60, 190)}
    for split, count in (("train", 8), ("val", 4), ("test", 5)):
        lines = []
        for name, tone in tones.items():
            for _ in range(count):
                number = next(numbers)
                lines.append(f"{name}/{name}_{number:04}.jpg")
                photograph(home / "images" / lines[-1], tone, number)
        (home / "labels").mkdir(parents=True, exist_ok=True)
        (home / "labels" / f"{split}1.txt").write_text("\n".join(lines) + "\n")
    stand_in("dtd", classes=3, official={"train": 24, "val": 12, "test": 15})


@pytest.mark.parametrize(
    ("protocol", "overrides"),
    [
        ("knn/instdisc@1", {"neighbours": 5}),
        ("linear/sweep@1", {"epochs": 10, "batch_size": 8}),
        ("linear/moco@1", {"epochs": 4, "batch_size": 8, "learning_rate": 0.3, "decay_epochs": [3]}),
        ("logreg/lbfgs@1", {"candidates": 5}),
        ("lowshot/k@1", {"shots": [1, 4], "draws": 3}),
        ("semisup/10pct@1", {"fraction": 0.5, "epochs": 8, "batch_size": 12, "head_learning_rate": 0.2}),
        ("finetune/full@1", {"epochs": 6, "batch_size": 12}),
    ],
)
def test_every_task_reads_photographs_from_their_files(
    textures: None, run: Runner, protocol: str, overrides: dict[str, Any], tmp_path: Path
) -> None:
    assert isinstance(open_images(load_dataset("dtd", tmp_path), "train", 72, 0), FileImages)
    result = run("dtd", protocol, **overrides)
    assert result.metrics["top1"].value > 60  # chance is 33; the classes are colours
    assert result.dataset.split_sizes["test"] == 15 and result.primary_metric == "top1"
    assert list(result.per_class or {}) in ([], ["banded", "dotted", "woven"])
    assert f"{protocol} is written for 224 px; these weights are fed 72 px" in result.notes or (
        protocol in ("knn/instdisc@1", "linear/sweep@1", "logreg/lbfgs@1", "lowshot/k@1")
    )


@pytest.fixture
def voc(tmp_path: Path, stand_in: Callable[..., None]) -> Path:
    """VOC 2007: red images show a boat, bright ones a bird; a few boats are difficult."""
    home, numbers = tmp_path / "voc2007" / "VOCdevkit" / "VOC2007", itertools.count()
    main = home / "ImageSets" / "Main"
    main.mkdir(parents=True)
    (home / "Annotations").mkdir()
    trainval: list[str] = []
    for part, count in (("train", 16), ("val", 12), ("test", 20)):
        shown: dict[str, list[int]] = {}
        for index in range(count):
            number, red, bright = next(numbers), index % 2, index // 2 % 2
            name = f"{number:06}"
            level = 100 + 80 * bright
            photograph(home / "JPEGImages" / f"{name}.jpg", (level + 60 * red, level, level), number)
            (home / "Annotations" / f"{name}.xml").write_text("<annotation></annotation>")
            shown[name] = [red, bright]
        (main / f"{part}.txt").write_text("".join(f"{name}\n" for name in shown))
        trainval += list(shown) if part != "test" else []
        for position, kind in enumerate(CLASSES):
            values = []
            for row, (name, (red, bright)) in enumerate(shown.items()):
                there = {"boat": red, "bird": bright}.get(kind, (row + position) % 5 == 0)
                value = 0 if kind == "boat" and row == 3 else 1 if there else -1
                values.append(f"{name} {value:2d}\n")
            (main / f"{kind}_{part}.txt").write_text("".join(values))
    (main / "trainval.txt").write_text("".join(f"{name}\n" for name in sorted(trainval)))
    stand_in("voc2007", classes=20, official={"train": 16, "val": 12, "test": 20})
    return main


def test_images_of_several_labels_have_a_mean_average_precision(voc: Path, run: Runner) -> None:
    result = run("voc2007", "linear/voc07-svm@1", costs=[0.1, 1.0], folds=2)
    assert result.primary_metric == "mAP" and result.per_class is not None
    assert set(result.per_class) == set(CLASSES)
    assert result.metrics["mAP"].value == pytest.approx(sum(result.per_class.values()) / 20)
    assert result.per_class["boat"] > 90 and result.per_class["bird"] > 90  # chance is about 50
    assert result.per_class["sheep"] < 90  # nothing in the images tells it
    for protocol in ("knn/patterns@1", "linear/sweep@1", "logreg/lbfgs@1", "finetune/full@1"):
        with pytest.raises(UserError, match=r"have several labels, which .* cannot use; use --task linear"):
            run("voc2007", protocol)
