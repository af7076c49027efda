import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.folder import image_files, load_folder
from mmbench.data.images.decoding import decode, read_image
from mmbench.errors import UserError


def write(path: Path, colour: tuple[int, int, int] = (200, 30, 60), size: tuple[int, int] = (48, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def make_tree(folder: Path, classes: dict[str, int], start: int = 0) -> Path:
    """Write `count` images per class, each of a grey level of its own."""
    level = start
    for name, count in classes.items():
        for number in range(count):
            write(folder / name / f"{number}.png", (level, level, level))
            level += 1
    return folder


def levels(split) -> set[int]:
    """The grey levels of a split: which images of make_tree it holds."""
    return set(split.images[:, 0, 20, 20].tolist())


def test_three_splits_are_taken_as_they_are(tmp_path):
    for start, split in ((0, "train"), (50, "val"), (100, "test")):
        make_tree(tmp_path / split, {"cat": 4, "ant": 3}, start)
    dataset = load_dataset(str(tmp_path))
    assert dataset.classes == ("ant", "cat")
    assert dataset.name == tmp_path.name
    assert dataset.image_size == 32
    train = dataset.split("train")
    assert train.images.shape == (7, 3, 40, 40)  # stored 1.25 times as large as fed
    assert train.labels.tolist() == [0] * 3 + [1] * 4
    assert levels(dataset.split("val")) == set(range(50, 57))
    assert levels(dataset.split("test")) == set(range(100, 107))


def test_without_test_split_val_is_tested_on_and_a_new_val_comes_from_train(tmp_path):
    make_tree(tmp_path / "train", {"a": 20, "b": 20})
    make_tree(tmp_path / "val", {"a": 5, "b": 5}, start=100)
    dataset = load_folder(tmp_path)
    train, val, test = (dataset.split(name) for name in ("train", "val", "test"))
    assert levels(test) == set(range(100, 110))
    assert (len(train), len(val)) == (34, 6)  # 15% of each class
    assert levels(train) | levels(val) == set(range(40))
    assert not levels(train) & levels(val)
    assert val.labels.bincount().tolist() == [3, 3]


def test_a_flat_tree_is_split_70_15_15_and_always_alike(tmp_path):
    make_tree(tmp_path, {"a": 40, "b": 20})
    first, again = load_folder(tmp_path), load_folder(tmp_path)
    sizes = {name: first.split(name).labels.bincount().tolist() for name in ("train", "val", "test")}
    assert sizes == {"train": [28, 14], "val": [6, 3], "test": [6, 3]}
    found = [levels(first.split(name)) for name in ("train", "val", "test")]
    assert set.union(*found) == set(range(60)) and sum(map(len, found)) == 60
    assert found == [levels(again.split(name)) for name in ("train", "val", "test")]


def test_the_stored_size_follows_the_size_that_is_fed(tmp_path):
    make_tree(tmp_path, {"a": 8, "b": 8})
    dataset = load_folder(tmp_path, image_size=64)
    assert dataset.image_size == 64
    assert dataset.split("train").images.shape[-2:] == (80, 80)


def test_the_short_side_is_resized_and_the_middle_kept(tmp_path):
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, :40], pixels[:, 40:80], pixels[:, 80:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = tmp_path / "wide.png"
    Image.fromarray(pixels).save(path)
    found = read_image(path, 20)
    assert found.shape == (20, 20, 3)
    assert (found[2:-2, 2:-2] == (0, 255, 0)).all()
    tall = tmp_path / "tall.png"
    Image.fromarray(pixels.transpose(1, 0, 2)).save(tall)
    assert (read_image(tall, 20)[2:-2, 2:-2] == (0, 255, 0)).all()


def test_a_image_of_the_stored_size_is_not_touched(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "same.png")
    assert np.array_equal(read_image(tmp_path / "same.png", 40), pixels)


def test_grey_16_bit_paletted_cmyk_and_transparent_images_become_rgb(tmp_path):
    ramp = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (50, 1))
    expected = np.repeat(ramp[:, :, None], 3, axis=2)
    grey = Image.fromarray(ramp)
    wide = Image.fromarray(ramp.astype(np.uint16) * 257)
    assert wide.mode.startswith("I;16")
    variants = {
        "grey.png": grey,
        "wide.png": wide,
        "palette.png": grey.convert("RGB").quantize(256),
        "alpha.png": grey.convert("RGBA"),
        "cmyk.tiff": grey.convert("RGB").convert("CMYK"),
    }
    for name, image in variants.items():
        image.save(tmp_path / name)
        found = read_image(tmp_path / name, 50).astype(int)
        assert np.abs(found - expected).max() <= 2, name


def test_an_unreadable_image_is_named(tmp_path):
    make_tree(tmp_path, {"a": 8, "b": 8})
    (tmp_path / "a" / "3.png").write_bytes(b"no image at all")
    with pytest.raises(UserError, match=r"a/3\.png"):
        dataset = load_folder(tmp_path)
        [dataset.split(name) for name in ("train", "val", "test")]


def test_a_truncated_image_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "cut.jpg"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UserError, match=r"cut\.jpg"):
        read_image(path, 32)


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        load_folder(tmp_path / "nowhere")


def test_loose_images_are_train_without_labels(tmp_path):
    for number in range(3):
        write(tmp_path / f"{number}.png", (number, number, number))
    (tmp_path / "notes.txt").write_text("no image")
    dataset = load_folder(tmp_path)
    assert dataset.classes == ("unlabelled",)
    assert levels(dataset.split("train")) == {0, 1, 2}
    with pytest.raises(UserError, match=r"no test split \(it has: train\)"):
        dataset.split("test")


def test_folder_without_images(tmp_path):
    with pytest.raises(UserError, match="no class folders"):
        load_folder(tmp_path)


def test_unreadable_images_can_be_left_out_and_named(tmp_path):
    make_tree(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "a" / "2.png").write_bytes(b"<html>")
    files = image_files(tmp_path, ("a", "b"))
    assert files.paths[2] == "a/2.png"
    with pytest.raises(UserError, match=r"2\.png"):
        decode(files, 40)
    unreadable = []
    split = decode(files, 40, unreadable)
    assert unreadable == ["a/2.png"]
    assert split.images[:, 0, 20, 20].tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert split.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    for path in files.paths:
        (tmp_path / path).write_bytes(b"")
    with pytest.raises(UserError, match="none of the 8 images"):
        decode(files, 40, [])


def test_the_fingerprint_of_files_tells_names_contents_and_labels(tmp_path):
    make_tree(tmp_path, {"a": 2, "b": 2})
    first = image_files(tmp_path, ("a", "b")).fingerprint
    assert image_files(tmp_path, ("a", "b")).fingerprint == first
    assert image_files(tmp_path, ("b", "a")).fingerprint != first
    write(tmp_path / "a" / "0.png", size=(100, 90))
    assert image_files(tmp_path, ("a", "b")).fingerprint != first


def test_empty_class(tmp_path):
    make_tree(tmp_path, {"a": 8, "b": 8})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="'empty' has no images"):
        load_folder(tmp_path).split("train")


def test_splits_with_other_classes(tmp_path):
    make_tree(tmp_path / "train", {"a": 8, "b": 8})
    make_tree(tmp_path / "val", {"a": 8, "c": 8})
    with pytest.raises(UserError, match="b, c"):
        load_folder(tmp_path)


def test_a_class_too_small_to_split(tmp_path):
    make_tree(tmp_path, {"a": 8, "b": 2})
    with pytest.raises(UserError, match="only 2 images"):
        load_folder(tmp_path)


def test_a_train_folder_alone_is_split_like_classes_at_once(tmp_path):
    make_tree(tmp_path / "alone" / "train", {"a": 20, "b": 20})
    make_tree(tmp_path / "flat", {"a": 20, "b": 20})
    alone, flat = load_folder(tmp_path / "alone"), load_folder(tmp_path / "flat")
    for split in ("train", "val", "test"):
        assert alone.files[split]().paths == flat.files[split]().paths
    assert any("only train folders: 70%" in line for line in alone.remarks)


def test_fingerprint_follows_the_pixels(tmp_path):
    make_tree(tmp_path / "one", {"a": 10, "b": 10})
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    same = load_folder(tmp_path / "two").fingerprint
    assert load_folder(tmp_path / "one").fingerprint == same
    write(tmp_path / "two" / "a" / "0.png", (9, 9, 9))
    assert load_folder(tmp_path / "two").fingerprint != same
