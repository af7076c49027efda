"""Food-101 in its layout: meta/train.json and test.json list images by class, in no order."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import Food101

from mmbench.data import download_dataset, load_dataset
from mmbench.errors import UserError

OFFICIAL = {"train": 60, "test": 6}


def write_food(folder: Path, image) -> dict[str, dict[str, list[str]]]:
    """Write 20 train and 2 test images of three dishes."""
    lists: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    numbers = np.random.default_rng(0).permutation(1000)[:22]
    for dish in ("pizza", "apple_pie", "ramen"):
        names = [f"{dish}/{number}" for number in numbers]
        lists["train"][dish], lists["test"][dish] = names[:20], names[20:]
        for name in names:
            image(folder / "images" / f"{name}.jpg")
    (folder / "meta").mkdir()
    for part, content in lists.items():
        (folder / "meta" / f"{part}.json").write_text(json.dumps(content))
    return lists


def held_out() -> list[int]:
    """A tenth of three classes of twenty, drawn here by hand."""
    generator = np.random.default_rng(0)
    draws = [generator.permutation(np.arange(20 * label, 20 * label + 20))[:2] for label in range(3)]
    return sorted(np.concatenate(draws).tolist())


def test_lists_are_read_as_torchvision_reads_them_and_repeats_refused(
    tmp_path: Path, image, stand_in
) -> None:
    home = tmp_path / "food101" / "food-101"
    lists = write_food(home, image)
    stand_in("food101", classes=3, official=OFFICIAL)
    theirs = Food101(str(tmp_path / "food101"), split="test")
    listing = home / "meta" / "test.json"
    listing.write_text(listing.read_text(), encoding="utf-8-sig")
    dataset = load_dataset("food101", tmp_path)
    assert dataset.classes == tuple(theirs.classes)
    files = dataset.files["test"]()
    ours = {files.root / path: label for path, label in zip(files.paths, files.labels.tolist(), strict=True)}
    assert ours == dict(zip(theirs._image_files, theirs._labels, strict=True))
    load_dataset.cache_clear()
    lists["test"]["ramen"] = lists["test"]["ramen"][:1] * 2
    listing.write_text(json.dumps(lists["test"]))
    with pytest.raises(UserError, match=r"1 image of test of food101 listed more than once, the first is"):
        load_dataset("food101", tmp_path).labels("test")


def test_val_is_drawn_from_train_in_the_order_of_classes(tmp_path: Path, image, stand_in) -> None:
    lists = write_food(tmp_path / "food101" / "food-101", image)
    digest = hashlib.sha256(np.array(held_out(), dtype="<i8").tobytes()).hexdigest()
    stand_in(
        "food101",
        classes=3,
        official=OFFICIAL,
        images={"train": 54, "val": 6, "test": 6},
        draws={"per_class": 20, "val": digest},
    )
    dataset = load_dataset("food101", tmp_path)
    assert (dataset.classes, dataset.metric) == (("apple_pie", "pizza", "ramen"), "top1")
    ordered = sorted(f"images/{name}.jpg" for names in lists["train"].values() for name in names)
    val = dataset.files["val"]()
    assert val.paths == [ordered[index] for index in held_out()]
    assert val.labels.tolist() == [0, 0, 1, 1, 2, 2]
    train = dataset.files["train"]()
    assert train.paths == [path for path in ordered if path not in val.paths]
    assert len(dataset.labels("test")) == 6
    for files in (train, val):
        assert [path.split("/")[1] for path in files.paths] == [
            dataset.classes[label] for label in files.labels.tolist()
        ]


def test_a_draw_that_is_not_the_manifests_is_refused(tmp_path: Path, image, stand_in) -> None:
    write_food(tmp_path / "food101" / "food-101", image)
    draws = {"per_class": 20, "val": "0" * 64}
    stand_in("food101", classes=3, official=OFFICIAL, draws=draws)
    with pytest.raises(UserError, match="drawn from the train part of food101 is not that of its manifest"):
        load_dataset("food101", tmp_path).labels("val")


def test_torchvision_downloads_to_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    write_food(tmp_path / "source" / "food-101", image)
    stand_in("food101", classes=3, official=OFFICIAL)
    address, md5 = serve(tmp_path / "source", "food-101.tar.gz")
    monkeypatch.setattr(Food101, "_URL", address)
    monkeypatch.setattr(Food101, "_MD5", md5)
    download_dataset("food101", tmp_path / "data")
    assert len(load_dataset("food101", tmp_path / "data").labels("train")) == 54
