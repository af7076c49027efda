"""Data that change on disk between two calls in one process: each call measures what is there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmbench
from mmbench.data import load_dataset, opening
from mmbench.errors import UserError
from mmbench.records.store import Result


def write(root: Path, test: int = 6, seed: int = 0) -> None:
    """Write images of three colours, `test` per class in test."""
    generator = np.random.default_rng(seed)
    for split, count in (("train", 8), ("val", 2), ("test", test)):
        for label, name in enumerate("abc"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 60, (32, 32, 3))
                pixels[..., label] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{number}.png")


def measured(data: str = "images", task: str = "knn", out: str = "results") -> Result:
    overrides = {"neighbours": 3} if task == "knn" else None
    (record,) = mmbench.evaluate(
        "random", task, data, arch="mixmask_resnet8", out=out, workers=0, overrides=overrides
    )
    return record


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "images")


def test_moved_and_removed_images_are_other_data() -> None:
    before = measured()
    assert before.metrics["top1"].n == 18 and before.metrics["top1"].value == 100.0
    for number in range(3):
        shutil.move(f"images/test/a/{number}.png", f"images/test/b/moved{number}.png")
    for number in range(2):
        Path(f"images/test/c/{number}.png").unlink()
    after = measured()
    assert after.metrics["top1"].n == 16
    assert after.metrics["top1"].value == pytest.approx(100 * 13 / 16)  # three reds are filed under b
    assert after.dataset.fingerprint == load_dataset("images").fingerprint != before.dataset.fingerprint
    assert len(list(Path("results").rglob("*seed0.json"))) == 2
    shutil.rmtree("images")
    with pytest.raises(UserError, match="images"):
        measured()


def test_the_feature_bank_does_not_answer_for_changed_images() -> None:
    def top1(out: str) -> float:
        (record,) = mmbench.evaluate(
            "random", "knn", "images", arch="mixmask_resnet8", out=out, workers=0, bank="bank",
            overrides={"neighbours": 3},
        )  # fmt: skip
        return record.metrics["top1"].value

    assert top1("one") == 100.0
    blue = Path("images/test/c/0.png").read_bytes()
    for path in Path("images/test").rglob("*.png"):
        path.write_bytes(blue)
    assert top1("two") == pytest.approx(100 / 3)


def test_a_relative_path_is_that_of_the_folder_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "other" / "images", test=4, seed=1)
    assert measured().metrics["top1"].n == 18
    monkeypatch.chdir(tmp_path / "other")
    assert measured().metrics["top1"].n == 12
    assert len(list(Path("results").rglob("*seed0.json"))) == 1


def test_pretraining_learns_from_what_is_there() -> None:
    def learned(out: str) -> str:
        run = mmbench.run_pretraining(
            "moco", "images", out=out, arch="mixmask_resnet8", epochs=1, threads=1, device="cpu",
            overrides={"batch_size": 8, "framework.queue": 16, "knn_every": 1},
            say=lambda line: None,
        )  # fmt: skip
        return str(json.loads((run.root / "card.json").read_text(encoding="utf-8"))["pretrain_fingerprint"])

    before = learned("first")
    Path("images/train/a/0.png").unlink()
    assert learned("second") != before


def test_one_call_opens_a_data_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    real = opening._of_path

    def of_path(path: Path, **options: object) -> object:
        opened.append(path)
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(opening, "_of_path", of_path)
    mmbench.evaluate("random", ["knn", "logreg"], "images", arch="mixmask_resnet8", workers=0, seeds=(0, 1))
    assert opened == [Path("images")]


def test_label_maps_that_change_are_other_data() -> None:
    for split, count in (("train", 6), ("test", 4)):
        for kind in ("images", "masks"):
            Path("scenes", kind, split).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((32, 32), np.uint8)
            mask[:, number + 8 :] = 1
            Image.fromarray(mask).save(f"scenes/masks/{split}/{number}.png")
            Image.fromarray(np.stack([40 + 150 * mask] * 3, axis=2)).save(
                f"scenes/images/{split}/{number}.png"
            )

    def measured_pixels() -> Result:
        (record,) = mmbench.evaluate(
            "random", "dense", "scenes", protocol="dense/patterns@1", arch="mixmask_resnet8", workers=0,
            overrides={"epochs": 2, "batch_size": 3},
        )  # fmt: skip
        return record

    before = measured_pixels()
    assert measured_pixels() == before  # the record
    for number in range(4):
        Image.fromarray(np.full((32, 32), number % 2, np.uint8)).save(f"scenes/masks/test/{number}.png")
    after = measured_pixels()
    assert after.dataset.fingerprint != before.dataset.fingerprint
    assert after.metrics["mIoU"].value != before.metrics["mIoU"].value
    Path("scenes/images/test/3.png").unlink()
    Path("scenes/masks/test/3.png").unlink()
    assert measured_pixels().dataset.split_sizes["test"] == 3
