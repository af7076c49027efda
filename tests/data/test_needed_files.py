"""What plans say of the files of a data set, compared with what its loader makes of them."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from annotated_layouts import write_coco_official, write_devkit
from published_layouts import write_ade20k, write_cityscapes, write_voc12aug

from mmbench.data import load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.needed_files import NEEDED, place_of
from mmbench.data.sets import cifar
from mmbench.errors import UserError

SIZES = {
    "caltech101": {"all": 104},
    "cars": {"train": 60, "test": 3},
    "dtd": {"train": 3, "val": 2, "test": 2},
    "fgvc-aircraft": {"train": 3, "val": 1, "test": 2},
    "flowers102": {"train": 4, "val": 2, "test": 3},
    "food101": {"train": 60, "test": 6},
    "oxford-pets": {"trainval": 45, "test": 4},
    "stl10": {"train": 30, "test": 6},
    "sun397": {"train": 30, "test": 6},
    "voc2007": {"train": 3, "val": 2, "test": 2},
}
CLASSES = {"caltech101": 3, "cars": 3, "dtd": 2, "fgvc-aircraft": 4, "flowers102": 102, "food101": 3}
CLASSES |= {"oxford-pets": 2, "stl10": 3, "sun397": 3, "voc2007": 20}
# The reader of cifar100 is that of cifar10; fashion-mnist has a test of its own, in test_requirements.
ELSEWHERE = {"cifar100", "fashion-mnist"}


def writer(module: str) -> ModuleType:
    """Return the module of tests of a data set, which writes small ones."""
    spec = importlib.util.spec_from_file_location(module, Path(__file__).parent / "sets" / f"{module}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def write(
    name: str, root: Path, image: Any, monkeypatch: pytest.MonkeyPatch, patterns: Path
) -> dict[str, str]:
    """Write a small copy of a data set below `root`; return the MD5 sums that its manifest then has."""
    home = root / name
    sums: dict[str, str] = {}
    if name == "patterns":
        shutil.copytree(patterns, home)
    elif name == "caltech101":
        writer("test_caltech101").write_caltech(home / "caltech101", image)
    elif name == "cars":
        writer("test_cars").write_cars(home / "stanford_cars", image)
    elif name == "cifar10":
        names = writer("test_cifar").write_cifar10(home, monkeypatch)
        sums = {f"cifar-10-batches-py/{one}": "0" * 32 for one in (*names, "batches.meta")}
    elif name == "dtd":
        writer("test_dtd").write_dtd(home / "dtd" / "dtd", image)
    elif name == "fgvc-aircraft":
        writer("test_fgvc_aircraft").write_aircraft(home / "fgvc-aircraft-2013b", image)
    elif name == "flowers102":
        sums = writer("test_flowers102").write_flowers(home / "flowers-102", monkeypatch, image)
    elif name == "food101":
        writer("test_food101").write_food(home / "food-101", image)
    elif name in ("imagenet", "imagenet-100"):
        writer("test_imagenet").write_imagenet_folders(root / "imagenet")
        if name == "imagenet-100":
            home.mkdir()
            (home / "classes.txt").write_text("n01641577\nn01443537\n")
    elif name == "oxford-pets":
        writer("test_oxford_pets").write_pets(home / "oxford-iiit-pet", image)
    elif name == "stl10":
        sums = writer("test_stl10").write_stl10(home / "stl10_binary", monkeypatch)[1]
    elif name == "sun397":
        module = writer("test_sun397")
        module.write_lists(home, module.write_images(home / "SUN397", image))
    elif name == "tiny-imagenet":
        writer("test_imagenet").write_tiny_imagenet(home / "tiny-imagenet-200")
    elif name == "voc2007":
        writer("test_voc2007").write_voc(home / "VOCdevkit" / "VOC2007", image)
    else:
        dense: dict[str, Callable[..., Any]] = {
            "ade20k": write_ade20k,
            "cityscapes": write_cityscapes,
            "coco": write_coco_official,
            "coco-keypoints": write_coco_official,
            "voc": write_devkit,
            "voc12aug": lambda place: write_voc12aug(place, prepared=True),
        }
        dense[name](home)
    return sums


def read_all(name: str, root: Path) -> None:
    """Read every split of a data set, as the tasks do."""
    load_dataset.cache_clear()
    dataset = load_dataset(name, root)
    for split in dataset.splits:
        dataset.split(split)  # type: ignore[arg-type]
    annotated = () if dataset.splits else (dataset.annotated, dataset.label_maps)
    for data in annotated:
        for part in () if data is None else data.finders:
            require_usable(data.split(part).findings)


@pytest.mark.parametrize("name", sorted(set(NEEDED) - ELSEWHERE))
def test_a_loader_reads_what_lacks_nothing_and_refuses_what_lacks_a_file(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    image: Callable[..., Path],
    stand_in: Callable[..., None],
    small_patterns: Path,
) -> None:
    for variable in ("MMBENCH_DATA", "DETECTRON2_DATASETS"):
        monkeypatch.delenv(variable, raising=False)
    root = tmp_path / "data"
    nothing = place_of(name, root)
    assert nothing is not None and nothing.missing and not nothing.begun
    sums = write(name, root, image, monkeypatch, small_patterns)
    if name in SIZES:
        stand_in(name, classes=CLASSES[name], official=SIZES[name], files=sums)
    elif sums:
        stand_in(name, classes=10, official={}, files=sums)
    place = place_of(name, root)
    assert place is not None and place.begun and place.missing == ()
    if name == "cifar10":  # its stand-in has other sizes, and torchvision compares the sums
        monkeypatch.setattr(cifar, "expected_counts", lambda name: {})
    read_all(name, root)
    kept = tmp_path / "kept"
    kept.mkdir()
    for one in (*sums, *NEEDED[name]):
        paths = [place.folder / path for path in ((one,) if isinstance(one, str) else one)]
        there = {path: kept / str(number) for number, path in enumerate(paths) if path.exists()}
        for path, place_kept in there.items():
            path.rename(place_kept)
        lacking = place_of(name, root)
        assert lacking is not None and (one if isinstance(one, str) else one[0]) in lacking.missing, one
        with pytest.raises(UserError):
            read_all(name, root)
        for path, place_kept in there.items():
            place_kept.rename(path)
