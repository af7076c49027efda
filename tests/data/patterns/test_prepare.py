"""Rendering to disk: what is there is whole, as pinned, and any change to it is found."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.patterns.prepare import VERSION, PatternsConfig, check, prepare, read_manifest
from mmbench.data.patterns.textures import CLASSES
from mmbench.errors import UserError

# Of decoded pixels and annotations, for the small rendering of conftest.py: its images are the first of
# each class of the full one. Whoever changes a pixel changes these on purpose, and VERSION with them.
PINNED_VERSION = 2
PINNED = {
    "train": "b25784583fef56fdfd089b79df802a695f13719c0f0421c433508af3437e0797",
    "val": "bf492fe0b073d0e022ee14454e18f67f6d4672bd8ba8f28e32f56bf57d14bc09",
    "test": "057fec877b990f52c638dee82d4613c482b8a0d1771deeef142a9075e288d87c",
    "scenes/train": "ee2353c717b5d85963ed306020a6df3ae00af58b6ef17c040aab037a1f2ae0e0",
    "scenes/val": "81f7c2fc5cebca31575655551d02550fa07e75e7e1f0bc561120b249ca9221bf",
    "scenes/test": "58df63e328883ff44a30351fc91c98879a009ca258a7a305c8f3be6df7cf32c9",
}


def test_pixels_and_annotations_are_those_that_every_machine_renders(small_patterns):
    assert read_manifest(small_patterns)["digests"] == PINNED
    assert VERSION == PINNED_VERSION


def test_layout_of_the_image_folders(small_patterns):
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        folders = sorted(path.name for path in (small_patterns / split).iterdir() if path.is_dir())
        assert folders == sorted(CLASSES)
        for name in CLASSES:
            files = sorted(path.name for path in (small_patterns / split / name).iterdir())
            assert files == [f"{number:04d}.png" for number in range(count)]
            image = Image.open(small_patterns / split / name / files[0])
            assert (image.mode, image.size) == ("RGB", (40, 40))


def test_loaded_as_a_data_set(small_patterns):
    load_dataset.cache_clear()
    dataset = load_dataset("patterns", small_patterns.parent)
    train = dataset.split("train")
    assert train.images.shape == (40, 3, 40, 40)
    assert train.images.dtype == torch.uint8
    assert train.labels.tolist() == [index for index in range(10) for _ in range(4)]
    assert dataset.classes == CLASSES  # in the order of the families, not of the alphabet
    assert dataset.image_size == 32
    third = np.asarray(Image.open(small_patterns / "train" / CLASSES[3] / "0002.png"))
    assert np.array_equal(train.images[3 * 4 + 2].permute(1, 2, 0).numpy(), third)
    assert dataset.require_scenes().root == small_patterns / "scenes"


def test_a_missing_folder_is_rendered_at_the_first_use(tmp_path, monkeypatch, capsys):
    tiny = PatternsConfig(train=10, val=10, test=10, scenes_train=1, scenes_val=1, scenes_test=1)
    monkeypatch.setattr("mmbench.data.patterns.prepare", lambda root: prepare(root, tiny))
    load_dataset.cache_clear()
    dataset = load_dataset("patterns", tmp_path)
    assert len(dataset.split("test")) == 10
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(tmp_path / "patterns") in said
    load_dataset.cache_clear()


@pytest.mark.parametrize("moment", ["rendering train images", "rendering val scenes"])
def test_an_interrupted_rendering_leaves_nothing(tmp_path, moment):
    def stop(done, total, words):
        if words == moment:
            assert list(tmp_path.iterdir())  # something was there already
            raise KeyboardInterrupt

    config = PatternsConfig(train=10, val=10, test=10, scenes_train=1, scenes_val=1, scenes_test=1)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "patterns", config, stop)
    assert list(tmp_path.iterdir()) == []


def test_several_processes_render_the_same_bytes(tmp_path):
    config = PatternsConfig(train=20, val=10, test=10, scenes_train=3, scenes_val=1, scenes_test=1)
    prepare(tmp_path / "one", config)
    prepare(tmp_path / "two", config, processes=2)
    files = [
        {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    ]
    assert files[0] == files[1] and len(files[0]) > 45


def test_progress_reaches_its_end(tmp_path):
    reports = []
    config = PatternsConfig(train=10, val=10, test=10, scenes_train=2, scenes_val=1, scenes_test=1)
    prepare(tmp_path / "patterns", config, lambda *report: reports.append(report))
    done = [report[0] for report in reports]
    assert done == sorted(done)
    assert reports[-1][:2] == (34, 34)


def test_sizes_that_cannot_be_balanced_are_refused(tmp_path):
    with pytest.raises(UserError, match="train=15"):
        prepare(tmp_path / "patterns", PatternsConfig(train=15))


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("mmbench.files.shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(UserError, match="not enough disk"):
        prepare(tmp_path / "patterns")
    assert list(tmp_path.iterdir()) == []


def test_a_whole_folder_passes_the_check(small_patterns):
    assert check(small_patterns) == []


def repaint(path: Path) -> None:
    image = Image.open(path)
    image.putpixel((5, 5), tuple(255 - value for value in image.getpixel((5, 5))))
    image.save(path)


def drop_annotation(path: Path) -> None:
    content = json.loads(path.read_text())
    content["annotations"].pop()
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damaged", "damage"),
    [
        ("train/arcs/0001.png", repaint),
        ("val/dots/0000.png", Path.unlink),
        ("test/plus/0001.png", lambda path: path.write_bytes(path.read_bytes()[:60])),
        ("scenes/images/val/val-0001.png", repaint),
        ("scenes/annotations/test.json", drop_annotation),
        ("scenes/annotations/train.json", Path.unlink),
    ],
)
def test_whatever_is_altered_is_found(small_patterns, tmp_path, damaged, damage):
    root = tmp_path / "patterns"
    shutil.copytree(small_patterns, root)
    damage(root / damaged)
    problems = check(root)
    assert problems
    split = "scenes" if damaged.startswith("scenes") else damaged.split("/")[0]
    assert any(split in problem for problem in problems)


def test_images_in_the_wrong_class_are_found(small_patterns, tmp_path):
    root = tmp_path / "patterns"
    shutil.copytree(small_patterns, root)
    (root / "train" / "arcs").rename(root / "train" / "swap")
    (root / "train" / "dots").rename(root / "train" / "arcs")
    (root / "train" / "swap").rename(root / "train" / "dots")
    assert check(root)


@pytest.mark.parametrize("content", [None, "{", '{"digests": {}}', '{"version": 0}'])
def test_a_folder_without_a_good_manifest_names_the_command_that_mends_it(small_patterns, tmp_path, content):
    root = tmp_path / "patterns"
    shutil.copytree(small_patterns, root)
    (root / "patterns.json").unlink()
    if content is not None:
        (root / "patterns.json").write_text(content)
    load_dataset.cache_clear()
    with pytest.raises(UserError, match="mmbench data prepare patterns --force"):
        load_dataset("patterns", tmp_path)
