"""`data prepare` of VOC2012 with SBD and of Cityscapes: what it writes, keeps, and refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.io
from mmseg.datasets import PascalVOCDataset
from PIL import Image
from published_layouts import (
    cityscapes_ids,
    cityscapes_names,
    sbd_values,
    train_ids,
    voc_colours,
    voc_names,
    voc_values,
    write_ade20k,
    write_cityscapes,
    write_voc12aug,
)

from mmbench.data import load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.voc12aug import LISTS
from mmbench.data.label_maps.voc12aug_preparation import BYTES_EACH
from mmbench.errors import UserError
from mmbench.tools.data import prepare_dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the data set `voc12aug`, as its archives unpack."""
    return write_voc12aug(tmp_path / "voc12aug")


def home_of(root: Path) -> Path:
    return root / "VOCdevkit" / "VOC2012"


def lines_of(root: Path, name: str) -> list[str]:
    return (home_of(root) / LISTS / f"{name}.txt").read_text().split()


def test_masks_that_are_there_need_no_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_dataset("voc12aug", root.parent)
    sorted((home_of(root) / "SegmentationClassAug").iterdir())[0].unlink()
    free = BYTES_EACH - 1
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=free))
    with pytest.raises(UserError, match="not enough disk for the mask files"):
        prepare_dataset("voc12aug", root.parent)
    free = BYTES_EACH
    assert "1 masks written, 7 were there" in prepare_dataset("voc12aug", root.parent)


def test_masks_and_lists_are_those_of_mmsegmentation(root: Path) -> None:
    names, reports = voc_names(), list[tuple[int, int, str]]()
    line = prepare_dataset("voc12aug", root.parent, report=lambda *report: reports.append(report))
    assert "8 images to train on, of which 4 are SBD's, 3 to evaluate; 8 masks written, 0 were there" in line
    assert reports[-1] == (8, 8, "masks") and [done for done, _, _ in reports] == list(range(1, 9))
    assert lines_of(root, "trainaug") == sorted([*names["train"], *names["added"]])
    assert lines_of(root, "aug") == sorted(names["added"])
    masks = home_of(root) / "SegmentationClassAug"
    assert sorted(path.stem for path in masks.iterdir()) == lines_of(root, "trainaug")
    for name in lines_of(root, "trainaug"):
        with Image.open(masks / f"{name}.png") as image:
            assert image.mode == "P" and image.getpalette() == voc_colours()
            expected = voc_values(name) if name in names["train"] else sbd_values(name)
            assert (np.asarray(image) == expected).all()
    theirs = [  # as mmsegmentation's configuration reads VOC2012 with SBD
        PascalVOCDataset(
            data_root=str(home_of(root)),
            data_prefix={"img_path": "JPEGImages", "seg_map_path": folder},
            ann_file=f"{LISTS}/{listing}.txt",
            pipeline=[],
        )
        for listing, folder in (("train", "SegmentationClass"), ("aug", "SegmentationClassAug"))
    ]
    read = {
        Path(item["img_path"]).stem: np.asarray(Image.open(item["seg_map_path"]))
        for part in theirs
        for item in part
    }
    data = load_dataset("voc12aug", root.parent).require_label_maps()
    ours = data.split("train")
    require_usable(ours.findings)
    assert data.label_maps is not None and sorted(read) == [image.name for image in ours.images]
    for image in ours.images:
        assert image.label_map is not None
        labels = read_labels(ours.root / image.label_map, data.label_maps.coding)
        assert (labels == read[image.name]).all()


def test_a_second_call_writes_nothing_and_an_interrupted_one_goes_on(root: Path) -> None:
    masks = home_of(root) / "SegmentationClassAug"
    prepare_dataset("voc12aug", root.parent)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in home_of(root).rglob("*.*")}
    assert "0 masks written, 8 were there" in prepare_dataset("voc12aug", root.parent)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    (home_of(root) / LISTS / "trainaug.txt").unlink()  # as after an interruption: it is written last
    lost, damaged = masks / "2008_000000.png", masks / "2008_000001.png"
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:50])
    assert "2 masks written, 6 were there" in prepare_dataset("voc12aug", root.parent)
    assert {path: path.read_bytes() for path in before} == {path: old for path, (_, old) in before.items()}
    assert "8 masks written, 0 were there" in prepare_dataset("voc12aug", root.parent, force=True)


def test_an_interruption_leaves_whole_files_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, total: int, words: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_dataset("voc12aug", root.parent, report=stop)
    assert not (home_of(root) / LISTS / "trainaug.txt").exists()
    for path in (home_of(root) / "SegmentationClassAug").iterdir():
        Image.open(path).load()
        assert path.suffix == ".png"
    with pytest.raises(UserError, match=r"are not prepared.*mmbench data prepare voc12aug"):
        load_dataset("voc12aug", root.parent)
    prepare_dataset("voc12aug", root.parent)
    assert len(load_dataset("voc12aug", root.parent).require_label_maps().split("train").images) == 8


@pytest.mark.parametrize("two_columns", [False, True])
def test_what_others_prepared_is_read_without_sbd(root: Path, two_columns: bool) -> None:
    """The archive SegmentationClassAug.zip has masks of VOC's own too, and a list with two columns."""
    shutil.rmtree(root / "benchmark_RELEASE")
    names, home = voc_names(), home_of(root)
    train = [*names["added"], *names["train"]]
    (home / "SegmentationClassAug").mkdir()
    for name in train:
        own = name in names["train"]
        grey = Image.fromarray(voc_values(name) if own else sbd_values(name))
        grey.save(home / "SegmentationClassAug" / f"{name}.png")
    columns = "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png\n" if two_columns else "{0}\n"
    listing = "train_aug" if two_columns else "trainaug"
    (home / LISTS / f"{listing}.txt").write_text("".join(columns.format(name) for name in train))
    assert "8 images to train on, 3 to evaluate" in prepare_dataset("voc12aug", root.parent)
    split = load_dataset("voc12aug", root.parent).require_label_maps().split("train")
    assert [image.name for image in split.images] == sorted(train)
    (home / "SegmentationClassAug" / "2008_000002.png").unlink()
    with pytest.raises(UserError, match=r"1 of 8 files are missing .*2008_000002.png; unpack benchmark.tgz"):
        prepare_dataset("voc12aug", root.parent)


def test_aug_txt_alone_is_enough(root: Path) -> None:
    prepare_dataset("voc12aug", root.parent)
    (home_of(root) / LISTS / "trainaug.txt").unlink()
    split = load_dataset("voc12aug", root.parent).require_label_maps().split("train")
    assert len(split.images) == 8 and split.files == (f"{LISTS}/train.txt", f"{LISTS}/aug.txt")


def replace_archive(root: Path) -> None:
    """VOC2007 in place of VOC2012."""
    home_of(root).rename(root / "VOCdevkit" / "VOC2007")


def rename_archive(root: Path) -> None:
    (home_of(root) / LISTS / "train.txt").write_text("000032\n000063\n")


def damage_mat(root: Path) -> None:
    path = root / "benchmark_RELEASE" / "dataset" / "cls" / "2008_000001.mat"
    path.write_bytes(path.read_bytes()[:200])


def other_mat(root: Path) -> None:
    path = root / "benchmark_RELEASE" / "dataset" / "cls" / "2008_000001.mat"
    scipy.io.savemat(path, {"GTinst": {"Segmentation": np.zeros((4, 4), np.uint8)}})


def high_mat(root: Path) -> None:
    path = root / "benchmark_RELEASE" / "dataset" / "cls" / "2008_000001.mat"
    scipy.io.savemat(path, {"GTcls": {"Segmentation": np.full((4, 4), 21, np.uint8)}})


def colours_there(root: Path) -> None:
    target = home_of(root) / "SegmentationClassAug" / "2008_000001.png"
    target.parent.mkdir()
    Image.new("RGB", (64, 48)).save(target)


def other_list(root: Path) -> None:
    (home_of(root) / LISTS / "trainaug.txt").write_text("2008_000001\n2010_000009\n")


SBD = "benchmark_RELEASE/dataset"
VOC = "VOCdevkit/VOC2012"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: shutil.rmtree(root / "VOCdevkit"), "put what VOCtrainval_11-May-2012.tar unpacks to"),
        (replace_archive, "holds VOC2007, and voc12aug is VOC2012; unpack VOCtrainval_11-May-2012.tar"),
        (rename_archive, "lists '000032' and others, which are not images of VOC2012"),
        (
            lambda root: (root / VOC / LISTS / "val.txt").unlink(),
            "val.txt; unpack VOCtrainval_11-May-2012.tar",
        ),
        (
            lambda root: shutil.rmtree(root / "benchmark_RELEASE"),
            "masks of SBD are not prepared.*benchmark.tgz",
        ),
        (lambda root: (root / SBD / "val.txt").unlink(), "no .*val.txt; unpack SBD's benchmark.tgz again"),
        (
            lambda root: (root / SBD / "cls" / "2008_000002.mat").unlink(),
            "1 of 7 images of SBD have no .mat file in .*cls, such as 2008_000002.mat; unpack benchmark.tgz",
        ),
        (damage_mat, "2008_000001.mat cannot be read as a mask of SBD .*; unpack benchmark.tgz again"),
        (other_mat, "2008_000001.mat cannot be read as a mask of SBD .*GTcls"),
        (high_mat, "2008_000001.mat does not hold one label of 0 to 20 per pixel"),
        (
            lambda root: (root / VOC / "JPEGImages" / "2008_000003.jpg").unlink(),
            "1 of 8 files are missing in .*JPEGImages/2008_000003.jpg; unpack VOCtrainval_11-May-2012.tar",
        ),
        (
            lambda root: (root / VOC / "SegmentationClass" / "2007_000001.png").unlink(),
            "1 of 4 files are missing in .*SegmentationClass/2007_000001.png; unpack VOCtrainval",
        ),
        (colours_there, "2008_000001.png has mode RGB, where a mask .* is written; move it, or .*--force"),
        (
            other_list,
            "trainaug.txt lists 2 images, and .* give 8 that are not the same; move it, or .*--force",
        ),
    ],
)
def test_what_is_missing_or_in_the_way_is_named(
    root: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(root)
    with pytest.raises(UserError, match=message) as caught:
        prepare_dataset("voc12aug", root.parent)
    assert "\n" not in str(caught.value)
    assert not (home_of(root) / LISTS / "aug.txt").exists()


def test_cityscapes_gets_its_labels_from_its_ids(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path / "cityscapes", maps="ids")
    assert "6 images; 6 *_gtFine_labelTrainIds.png written, 0 were there" in prepare_dataset(
        "cityscapes", tmp_path
    )
    for part, names in cityscapes_names().items():
        for name in names:
            path = root / "gtFine" / part / name.partition("_")[0] / f"{name}_gtFine_labelTrainIds.png"
            with Image.open(path) as image:
                assert image.mode == "L" and (np.asarray(image) == train_ids(cityscapes_ids(name))).all()
    assert "0 *_gtFine_labelTrainIds.png written, 6 were there" in prepare_dataset("cityscapes", tmp_path)
    assert not load_dataset("cityscapes", tmp_path).require_label_maps().remarks


def test_cityscapes_names_what_is_incomplete(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path / "cityscapes", maps="ids")
    path = next((root / "gtFine" / "train").rglob("ulm_*_labelIds.png"))
    ids = np.asarray(Image.open(path)).copy()
    ids[0, 0] = 40
    Image.fromarray(ids).save(path)
    with pytest.raises(UserError, match=f"{path.name} has pixels of value 40"):
        prepare_dataset("cityscapes", tmp_path)
    path.unlink()
    with pytest.raises(
        UserError, match=r"1 of 6 images in .* have no .*_labelIds.png.*gtFine_trainvaltest.zip"
    ):
        prepare_dataset("cityscapes", tmp_path)


def test_ade20k_needs_no_preparation(tmp_path: Path) -> None:
    write_ade20k(tmp_path / "ade20k")
    assert "150 classes" in prepare_dataset("ade20k", tmp_path)
    with pytest.raises(UserError, match="no files of data set 'ade20k' are made, so --force"):
        prepare_dataset("ade20k", tmp_path, force=True)
    for name in ("ade20k", "voc12aug"):
        with pytest.raises(UserError, match="not generated, so --seed does not apply"):
            prepare_dataset(name, tmp_path, seed=1)
