"""`mmbench data`, called as a user calls it."""

import dataclasses
import functools
import importlib
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from mmbench.cli import commands as cli
from mmbench.data import DATASETS, Dataset, ImageSplit, load_dataset
from mmbench.data.folder import image_files
from mmbench.data.known_splits import KnownSplit
from mmbench.data.manifest import Manifest, require_manifest
from mmbench.data.patterns.images import STORED_SIZE
from mmbench.data.patterns.prepare import PatternsConfig, prepare, read_manifest
from mmbench.data.patterns.textures import CLASSES
from mmbench.tools import data as data_module
from mmbench.tools import data_check
from mmbench.tools.contact_sheet import CELL, GAP, MARGIN, class_colours

RENDERING = importlib.import_module("mmbench.data.patterns.prepare")  # the package has a function `prepare`
SMALL = PatternsConfig(train=20, val=10, test=10, scenes_train=3, scenes_val=2, scenes_test=2)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rendered")
    prepare(root / "patterns", SMALL)
    return root


@pytest.fixture
def root(rendered: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(rendered, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def small_and_fresh(monkeypatch):
    monkeypatch.setattr(
        RENDERING, "PatternsConfig", lambda **changes: PatternsConfig(**{**SMALL.__dict__, **changes})
    )
    monkeypatch.setattr(RENDERING, "cores", lambda: 1)  # a process takes longer to start than to render
    load_dataset.cache_clear()
    yield
    load_dataset.cache_clear()


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_prepare_then_check_then_nothing_to_do(tmp_path, capsys, monkeypatch):
    asked, renderers = [], RENDERING._renderers

    def in_one(processes):
        asked.append(processes)
        return renderers(1)

    monkeypatch.setattr(RENDERING, "cores", lambda: 3)
    monkeypatch.setattr(RENDERING, "_renderers", in_one)  # in several: tests/data/patterns/test_prepare.py
    code, out, _ = run(capsys, "data", "prepare", "patterns", "--data-root", tmp_path)
    assert code == 0 and "patterns is ready" in out and asked == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["patterns"]
    code, out, _ = run(capsys, "data", "check", "patterns", "--data-root", tmp_path)
    assert code == 0
    assert "train: 20 images of 40 px, 10 classes, 2 per class" in out
    assert "scenes, train: 3 images" in out
    assert out.rstrip().endswith("patterns is complete")
    before = (tmp_path / "patterns" / "patterns.json").stat().st_mtime_ns
    code, out, _ = run(capsys, "data", "prepare", "patterns", "--data-root", tmp_path)
    assert code == 0 and "nothing to do" in out
    assert (tmp_path / "patterns" / "patterns.json").stat().st_mtime_ns == before


def test_the_root_comes_from_the_environment(rendered, monkeypatch, capsys):
    monkeypatch.setenv("MMBENCH_DATA", str(rendered))
    code, out, _ = run(capsys, "data", "check", "patterns")
    assert code == 0 and "complete" in out


def test_another_seed_needs_force(root, capsys):
    code, _, err = run(capsys, "data", "prepare", "patterns", "--data-root", root, "--seed", 5)
    assert code == 2 and "seed 0, not 5" in err and "--force" in err
    assert read_manifest(root / "patterns")["config"]["seed"] == 0
    code, _, _ = run(capsys, "data", "prepare", "patterns", "--data-root", root, "--seed", 5, "--force")
    assert code == 0
    assert read_manifest(root / "patterns")["config"]["seed"] == 5
    assert [path.name for path in root.iterdir()] == ["patterns"]


def test_force_repairs_a_damaged_folder(root, capsys):
    shutil.rmtree(root / "patterns" / "train" / "arcs")
    (root / "patterns" / "patterns.json").unlink()
    assert run(capsys, "data", "check", "patterns", "--data-root", root)[0] == 2
    assert run(capsys, "data", "prepare", "patterns", "--data-root", root)[0] == 2
    assert run(capsys, "data", "prepare", "patterns", "--data-root", root, "--force")[0] == 0
    assert run(capsys, "data", "check", "patterns", "--data-root", root)[0] == 0


def test_force_never_deletes_what_is_not_rendered_data(tmp_path, capsys):
    (tmp_path / "patterns").mkdir()
    (tmp_path / "patterns" / "thesis.txt").write_text("years of work")
    code, _, err = run(capsys, "data", "prepare", "patterns", "--data-root", tmp_path, "--force")
    assert code == 2 and err.count("\n") == 1
    code, _, err = run(capsys, "data", "prepare", "patterns", "--data-root", tmp_path)
    assert code == 2 and err.count("\n") == 1 and "--force" not in err
    assert "and other files (thesis.txt); move them, or choose another data folder" in err
    assert (tmp_path / "patterns" / "thesis.txt").read_text() == "years of work"


def test_a_failing_force_leaves_the_old_data(root, capsys, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no light")

    monkeypatch.setattr(RENDERING, "_render", fail)
    with pytest.raises(RuntimeError):
        data_module.prepare_dataset("patterns", root, force=True)
    assert run(capsys, "data", "check", "patterns", "--data-root", root)[0] == 0
    assert [path.name for path in root.iterdir()] == ["patterns"]


def test_check_does_not_render_what_is_missing(tmp_path, capsys):
    code, _, err = run(capsys, "data", "check", "patterns", "--data-root", tmp_path)
    assert code == 2 and "mmbench data prepare patterns" in err
    assert not (tmp_path / "patterns").exists()


def shift_box(scenes: Path) -> None:
    path = scenes / "voc" / "VOC2007" / "Annotations" / "val-0001.xml"
    text = path.read_text()
    first = text.index("<xmin>") + 6
    end = text.index("<", first)
    path.write_text(f"{text[:first]}{int(text[first:end]) + 7}{text[end:]}")


def rename_object(scenes: Path) -> None:
    path = scenes / "voc" / "VOC2007" / "Annotations" / "val-0001.xml"
    text = path.read_text()
    first = text.index("<name>") + 6
    end = text.index("<", first)
    other = CLASSES[(CLASSES.index(text[first:end]) + 1) % 10]
    path.write_text(f"{text[:first]}{other}{text[end:]}")


def erase_mask(scenes: Path) -> None:
    path = scenes / "segmentation" / "val" / "val-0001.png"
    image = Image.open(path)
    labels = np.asarray(image).copy()
    labels[labels > 0] = 0
    empty = Image.fromarray(labels, mode="P")
    empty.putpalette(image.getpalette())
    path.unlink()  # else the link on the VOC side would change too
    empty.save(path)


def drop_from_list(scenes: Path) -> None:
    path = scenes / "voc" / "VOC2007" / "ImageSets" / "Main" / "val.txt"
    path.write_text(path.read_text().split()[0])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shift_box, "val-0001.xml has other boxes"),
        (rename_object, "val-0001.xml names other objects"),
        (erase_mask, "scene val-0001: label map and polygons"),
        (drop_from_list, "val.txt does not list"),
        (lambda scenes: (scenes / "segmentation/val/val-0000.png").unlink(), "scene val-0000"),
    ],
)
def test_layouts_that_disagree_are_found(root, capsys, damage, words):
    damage(root / "patterns" / "scenes")
    code, _, err = run(capsys, "data", "check", "patterns", "--data-root", root)
    assert code == 2
    assert words in err


def test_check_finds_images_shared_by_train_and_test(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / split / name / "0.png")
    assert run(capsys, "data", "check", tmp_path / "set")[0] == 0
    shutil.copy(tmp_path / "set/train/a/0.png", tmp_path / "set/test/a/0.png")
    load_dataset.cache_clear()
    code, _, err = run(capsys, "data", "check", tmp_path / "set")
    assert code == 2 and "train and test share 1 identical images" in err


def test_check_decodes_what_is_identified_by_unchanged_files(root, capsys, monkeypatch):
    """A disk may change pixels and leave sizes and dates; facts that were kept must not hide that."""
    val = image_files(root / "patterns" / "val", CLASSES)
    dataset = load_dataset("patterns", root)
    true, damaged = dataset.split("val").fingerprint, "f" * 64
    for fingerprint, code in ((true, 0), (damaged, 2)):
        known = dataclasses.replace(
            dataset,
            splits={**dataset.splits, "val": functools.partial(KnownSplit, val, STORED_SIZE, fingerprint)},
        )
        monkeypatch.setattr(data_check, "load_dataset", lambda *_, known=known: known)
        found, _, err = run(capsys, "data", "check", "patterns", "--root", root)
        assert (found, "val: images changed though" in err) == (code, code == 2)


def test_unknown_names_get_a_near_match(tmp_path, capsys):
    for command in ("prepare", "check"):
        code, _, err = run(capsys, "data", command, "paterns", "--data-root", tmp_path)
        assert code == 2 and "did you mean 'patterns'?" in err


def test_what_cannot_be_rendered_says_how_to_get_it(tmp_path, capsys):
    code, _, err = run(capsys, "data", "prepare", "cifar10", "--data-root", tmp_path)
    assert code == 2 and "--download" in err
    code, _, err = run(capsys, "data", "prepare", "cifar10", "--data-root", tmp_path, "--force")
    assert code == 2 and "--force does not apply" in err and "patterns" in err


def test_the_list_names_every_data_set_with_its_facts(capsys):
    code, out, _ = run(capsys, "data", "list")
    assert code == 0
    lines = out.splitlines()
    rows = {line.split()[0]: line for line in lines[::-1]}  # the first row of each
    assert list(rows)[-2::-1] == DATASETS.names()
    assert rows["caltech101"].split() == [
        *("caltech101", "classes", "101", "2525", "505", "5647", "mean_per_class"),
        *("5", "of", "each", "class", "of", "all,", "seed", "0", "--download"),
    ]
    assert rows["cars"].split()[2:7] == ["196", "-", "-", "8041", "top1"]
    assert rows["cars"].endswith("your files") and rows["patterns"].endswith("rendering")
    assert rows["voc2007"].split()[1:] == [
        "classes",
        "20",
        "2501",
        "2510",
        "4952",
        "mAP",
        "official",
        "val",
        "--download",
    ]
    cells = [" ".join(line.split()) for line in lines]
    for row in (
        "ade20k label maps 150 20210 2000 - mIoU official val ADEChallengeData2016.zip",
        "cityscapes boxes, masks 8 2975 500 - AP official val leftImg8bit_trainvaltest.zip, "
        "gtFine_trainvaltest.zip",
        "cityscapes label maps 19 2975 500 - mIoU official val leftImg8bit_trainvaltest.zip, "
        "gtFine_trainvaltest.zip",
        "patterns label maps 11 240 80 120 mIoU official val rendering",
        "voc boxes 20 16551 - 4952 AP none VOCtrainval_06-Nov-2007.tar, VOCtest_06-Nov-2007.tar, "
        "VOCtrainval_11-May-2012.tar",
        "voc12aug label maps 21 10582 1449 - mIoU official val VOCtrainval_11-May-2012.tar, "
        "benchmark.tgz of SBD",
    ):
        assert row in cells
    starts = {line.index("val split is") if "val split is" in line else 0 for line in out.splitlines()}
    assert max(starts) == rows["dtd"].index("official val")  # columns are aligned


def test_a_manifest_is_printed_whole(capsys):
    code, out, _ = run(capsys, "data", "manifest", "food101")
    assert code == 0
    assert Manifest.model_validate(yaml.safe_load(out)) == require_manifest("food101")
    assert "85eeb15f3717b99a5da872d97d918f87" in out
    code, _, err = run(capsys, "data", "manifest", "fod101")
    assert code == 2 and "did you mean 'food101'?" in err
    code, _, err = run(capsys, "data", "manifest", "folder")
    assert code == 2 and "has no manifest" in err and err.count("\n") == 1


def test_what_has_no_home_says_what_to_put_where(tmp_path, capsys):
    for options in ((), ("--download",)):
        code, _, err = run(capsys, "data", "prepare", "cars", "--data-root", tmp_path, *options)
        assert code == 2 and "cars_test_annos_withlabels.mat into" in err and err.count("\n") == 1


def test_the_sheet_of_images_has_a_row_per_class_with_its_own_images(root, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    arguments = ("data", "show", "patterns", "--data-root", root, "--out", out, "--columns", 2)
    assert run(capsys, *arguments)[0] == 0
    sheet = np.asarray(Image.open(out))
    left = sheet.shape[1] - MARGIN - 2 * (CELL + GAP)
    train = load_dataset("patterns", root).split("train")
    for index in range(10):
        top = MARGIN + 40 + index * (CELL + GAP)
        for column in range(2):
            x = left + column * (CELL + GAP)
            cell = sheet[top : top + CELL, x : x + CELL]
            pixels = train.images[2 * index + column].permute(1, 2, 0).numpy()
            middle = ((np.arange(40) + 0.5) * CELL / 40).astype(int)
            assert np.array_equal(cell[np.ix_(middle, middle)], pixels), (index, column)
    names = sheet[MARGIN + 40 :, : left - 2]
    rows = names[: 10 * (CELL + GAP)].reshape(10, CELL + GAP, -1, 3)
    assert (rows.min(axis=(1, 2, 3)) < 90).all()  # a dark name stands at every row


@pytest.mark.parametrize("inside", ["patterns/train/CLASS/0000.png", "patterns/train/CLASS/sheet.png"])
def test_a_sheet_never_becomes_a_part_of_its_data_set(root, tmp_path, capsys, inside):
    out = root / inside.replace("CLASS", CLASSES[0])
    before = {path: path.read_bytes() for path in (root / "patterns" / "train").rglob("*.png")}
    for arguments in (("show", "patterns"), ("show", root / "patterns", "--layout", "folder")):
        code, said, err = run(capsys, "data", *arguments, "--data-root", root, "--out", out)
        assert code == 2 and said == "" and err.count("\n") == 1
        assert f"--out {out} lies in the folder of the data set patterns" in err
    code, said, err = run(capsys, "preview", "moco", "--data", "patterns", "--data-root", root, "--out", out)
    assert code == 2 and said == "" and "lies in the folder of the data set patterns" in err
    found = {path: path.read_bytes() for path in (root / "patterns" / "train").rglob("*.png")}
    assert found == before


def test_check_finds_files_under_two_classes(tmp_path, capsys):
    for split, name in itertools.product(("train", "val", "test"), ("cat", "dog")):
        (tmp_path / "pets" / split / name).mkdir(parents=True)
        colour = (len(split), len(name), ord(name[0]))
        Image.new("RGB", (8, 8), colour).save(tmp_path / "pets" / split / name / "1.png")
    shutil.copy(tmp_path / "pets" / "train" / "cat" / "1.png", tmp_path / "pets" / "train" / "dog" / "2.png")
    line = "train has 1 file under different labels (cat/1.png is dog/2.png): at most one is right"
    for name in ("pets", "pack"):
        code, _, err = run(capsys, "data", "check", tmp_path / name)
        assert code == 2 and f"problem: {line}" in err.splitlines()
        if name == "pets":
            packing = ("data", "pack", tmp_path / "pets", "--out", tmp_path / "pack", "--short-side", "8")
            assert run(capsys, *packing, "--format", "png")[0] == 0


def test_check_of_class_folders_suggests_a_command_that_takes_its_options(tmp_path, capsys):
    """A pretraining has no --layout."""
    for split, name in itertools.product(("train", "val", "test"), ("cat", "dog")):
        (tmp_path / "pets" / split / name).mkdir(parents=True)
        colour = (len(split), len(name), ord(name[0]))
        Image.new("RGB", (8, 8), colour).save(tmp_path / "pets" / split / name / "1.png")
    pets = tmp_path / "pets"
    code, _, err = run(capsys, "data", "check", pets, "--layout", "folder", "--data-root", "sets")
    assert code == 0 and err.splitlines()[-1] == (
        f"next: mmbench pretrain --method mixmask --data {pets} --out runs/mixmask --data-root sets"
    )


def test_a_sheet_replaces_no_image_of_a_list(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [Path("photos") / f"{number}.png" for number in range(3)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(path)
    Path("list.txt").write_text("".join(f"{path}\n" for path in paths))
    Path("other.png").hardlink_to(paths[1])
    before = paths[1].read_bytes()
    for out in ("photos/1.png", "list.txt"):
        code, _, err = run(capsys, "preview", "moco", "--data", "list.txt", "--out", out)
        assert code == 2 and err.count("\n") == 1 and paths[1].read_bytes() == before
    code, _, err = run(capsys, "preview", "moco", "--data", "list.txt", "--out", "photos/1.png")
    assert "--out photos/1.png is one of the files that are read" in err
    for image, out in ((paths[1], paths[1]), (paths[1].absolute(), "other.png")):
        code, _, err = run(capsys, "preview", "moco", "--image", paths[0], "--image", image, "--out", out)
        assert code == 2 and f"--out {out} is one of the files that are read" in err
        assert paths[1].read_bytes() == before


def test_the_sheet_of_scenes_shows_boxes_and_masks(root, tmp_path, capsys):
    out = tmp_path / "scenes.png"
    code, _, _ = run(capsys, "data", "show", "patterns", "--data-root", root, "--scenes", "--out", out)
    assert code == 0
    sheet = np.asarray(Image.open(out))
    content = json.loads((root / "patterns/scenes/annotations/train.json").read_text())
    colours = class_colours(10)
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        column = annotation["image_id"] - 1
        left, top = MARGIN + column * (96 * 3 + GAP), MARGIN + 40
        edge = sheet[top + round(3 * (y + height)) - 1, left + round(3 * (x + width / 2))]
        assert np.abs(edge.astype(int) - colours[annotation["category_id"] - 1]).max() < 8


def test_colours_of_classes_differ():
    colours = np.array(class_colours(20), dtype=float)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e3 * np.eye(20)
    assert distances.min() > 20


@pytest.mark.parametrize("out", ["sheet.jpg", "sheet"])
def test_only_png_is_written(root, tmp_path, capsys, out):
    code, _, err = run(capsys, "data", "show", "patterns", "--data-root", root, "--out", tmp_path / out)
    assert code == 2 and "end in .png" in err
    assert not (tmp_path / out).exists()


def test_scenes_of_a_data_set_without_any(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (40, 40), (number, 0, 0)).save(tmp_path / "set" / name / f"{number}.png")
    code, _, err = run(capsys, "data", "show", tmp_path / "set", "--scenes", "--out", tmp_path / "s.png")
    assert code == 2 and "has no boxes; use one that has" in err


def noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_check_says_how_a_folder_is_read_and_what_is_left_out(tmp_path, capsys):
    for number in range(40):
        noise(tmp_path / "set" / "Training" / "ab"[number % 2] / f"{number}.png", number)
    (tmp_path / "set" / "notes.txt").write_text("words")
    code, out, _ = run(capsys, "data", "check", tmp_path / "set")
    assert code == 0
    assert "Training/ is train" in out and "only train folders: 70%" in out
    assert "left out: files that are not images: 1 (.txt)" in out
    assert "train: 28 images" in out


def test_check_of_a_folder_that_gives_no_labels(tmp_path, capsys):
    for number in range(9):
        noise(tmp_path / "flat" / f"{number}.png", number)
    code, out, _ = run(capsys, "data", "check", tmp_path / "flat")
    assert code == 0 and "train: 9 images of 20 px, without labels" in out
    noise(tmp_path / "flat" / "masks" / "x.png", 99)
    load_dataset.cache_clear()
    code, out, err = run(capsys, "data", "check", tmp_path / "flat")
    assert code == 2 and "train: 10 images of 20 px, without labels" in out
    assert "no labels can be read: 9 images in" in err
    assert "1 of them lie in folders named like label maps" in out


def test_check_of_several_labels_per_image(tmp_path, capsys, monkeypatch):
    def load(name: str, root: Path) -> Dataset:
        labels = {"train": [[1, 1, 0], [0, 1, -1]], "test": [[0, 1, 1]]}
        seeds = {"train": 0, "test": 1}

        def split(part: str) -> ImageSplit:
            generator = torch.Generator().manual_seed(seeds[part])
            images = torch.randint(0, 256, (len(labels[part]), 3, 8, 8), generator=generator).to(torch.uint8)
            return ImageSplit(images, torch.tensor(labels[part]))

        splits = {part: functools.partial(split, part) for part in labels}
        return Dataset(name, root, ("x", "y", "z"), splits, 8, metric="mAP", multilabel=True)

    monkeypatch.setattr("mmbench.tools.data_check.load_dataset", load)
    code, out, err = run(capsys, "data", "check", "mine", "--data-root", tmp_path)
    assert code == 2 and "train: 2 images of 8 px, 3 classes, 0 to 2 per class" in out
    assert err.count("problem:") == 2
    assert "train: class 'z' has no image" in err and "test: class 'x' has no image" in err


def test_check_of_some_classes_of_a_published_set(tmp_path, capsys):
    """Two of 200 classes of Tiny-ImageNet are in order, and are not called complete."""
    home = tmp_path / "tiny-imagenet"
    for number in range(24):
        noise(home / "train" / "ab"[number % 2] / f"{number}.png", number)
    noise(home / "val" / "images" / "v.png", 24)
    noise(home / "val" / "images" / "w.png", 25)
    (home / "val" / "val_annotations.txt").write_text("v.png\ta\nw.png\tb\n")
    code, out, _ = run(capsys, "data", "check", "tiny-imagenet", "--data-root", tmp_path)
    assert code == 0
    assert "2 of the 200 classes of tiny-imagenet: figures do not compare with published ones\n" in out
    assert out.endswith("tiny-imagenet is in order, and a part of what is published\n")


def test_check_names_the_images_that_cannot_be_read(tmp_path, capsys):
    for number in range(40):
        noise(tmp_path / "set" / "ab"[number % 2] / f"{number:02}.png", number)
    for number in range(2, 20, 2):  # 9 of class a
        path = tmp_path / "set" / "a" / f"{number:02}.png"
        path.write_bytes(path.read_bytes()[:60])
    Image.fromarray(np.full((20, 20), 900, np.uint16)).save(tmp_path / "set" / "a" / "00.png")
    code, out, err = run(capsys, "data", "check", tmp_path / "set")
    assert code == 2 and "Traceback" not in err
    assert "16-bit values that go up to 900 only" in err
    lines = [line for line in err.splitlines() if line.startswith("problem: ")]
    named = sum("cannot be read as an image" in line for line in lines)
    more = sum(int(re.search(r"(\d+) more images", line)[1]) for line in lines if "more images" in line)
    assert named + more == 10
    assert (
        sum(int(re.match(r"\w+: (\d+) images", line)[1]) for line in out.splitlines() if " px" in line) == 30
    )
    for path in (tmp_path / "set").rglob("*.png"):
        path.write_bytes(b"damaged")
    load_dataset.cache_clear()
    code, out, err = run(capsys, "data", "check", tmp_path / "set")
    assert code == 2 and "train: no image can be read" in out and "5 more" not in out
