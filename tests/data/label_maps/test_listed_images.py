"""Lists of images with label maps: every line means its own file, or a file that is missing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from label_map_layouts import Labelled, save_image, save_labels, tiny, write_classes

from mmbench.data import load_dataset
from mmbench.data.annotated.types import AnnotatedData
from mmbench.errors import UserError

TOWNS = {"rome": tiny({"rome": 4}, seed=1)["rome"], "ulm": tiny({"ulm": 4}, seed=2)["ulm"]}


def write(root: Path, towns: dict[str, Sequence[Labelled]] = TOWNS) -> Path:
    """Write images/TOWN/NUMBER.png with masks, and the lists of train (rome) and val (ulm)."""
    for town, labelled in towns.items():
        for number, one in enumerate(labelled):
            save_image(one, root / f"images/{town}/{number}.png")
            save_labels(one.labels, root / f"masks/{town}/{number}.png")
    write_classes(root / "classes.txt")
    lists(root, [f"rome/{number}" for number in range(4)], [f"ulm/{number}" for number in range(4)])
    return root


def lists(root: Path, train: Sequence[str], val: Sequence[str]) -> None:
    (root / "train.txt").write_text("".join(f"{line}\n" for line in train))
    (root / "val.txt").write_text("".join(f"{line}\n" for line in val))


def maps_of(root: Path) -> AnnotatedData:
    load_dataset.cache_clear()
    return load_dataset(str(root)).require_label_maps()


def paths(data: AnnotatedData, split: str) -> list[str]:
    return [image.path for image in data.split(split).images]  # type: ignore[arg-type]


def refused(data: AnnotatedData, split: str) -> list[str]:
    found = data.split(split).findings  # type: ignore[arg-type]
    return [finding.line() for finding in found if finding.action == "refused"]


def lose(root: Path, town: str, number: int) -> None:
    (root / f"images/{town}/{number}.png").unlink()
    (root / f"masks/{town}/{number}.png").unlink()


def test_a_missing_image_is_not_replaced_by_that_of_another_folder(tmp_path: Path) -> None:
    root = write(tmp_path)
    lists(root, ["rome/0", "rome/1", "rome/2"], [f"ulm/{number}" for number in range(4)])
    lose(root, "ulm", 3)  # rome/3 is in no list
    data = maps_of(root)
    assert paths(data, "val") == [f"images/ulm/{number}.png" for number in range(3)]
    (line,) = refused(data, "val")
    assert line.startswith("val: 1 label map without an image (ulm/3)")
    lists(
        root, ["rome/0"], ["ulm/0", "set\\ulm/3", "set/ulm/3", "set\\ulm\\3.png", "images/ulm/3 masks/ulm/3"]
    )
    data = maps_of(root)
    assert paths(data, "val") == ["images/ulm/0.png"] and "4 label maps" in refused(data, "val")[0]
    lists(root, ["ulm/0", "ulm/1", "ulm/3"], ["rome/0", "rome/1"])
    data = maps_of(root)
    assert paths(data, "train") == ["images/ulm/0.png", "images/ulm/1.png"] and not refused(data, "train")
    dropped = [finding.line() for finding in data.split("train").findings if finding.action == "dropped"]
    assert len(dropped) == 1 and "1 label map without an image (ulm/3)" in dropped[0]


def test_nor_where_the_folder_is_empty_or_spelled_otherwise(tmp_path: Path) -> None:
    root = write(tmp_path)
    for kind in ("images", "masks"):
        shutil.rmtree(root / kind / "ulm")
    (root / "images" / "ulm").mkdir()
    lists(root, ["rome/0", "rome/1", "rome/2"], ["ULM/3", "rome/3"])
    data = maps_of(root)
    assert paths(data, "val") == ["images/rome/3.png"]
    assert "1 label map without an image (ULM/3)" in refused(data, "val")[0]


def test_nor_where_another_line_names_that_file(tmp_path: Path) -> None:
    root = write(tmp_path, {"rome": TOWNS["rome"]})  # of ulm, nothing is there, so no folder tells
    lists(root, [f"rome/{number}" for number in range(3)], ["ulm/0", "rome/3"])
    data = maps_of(root)
    assert paths(data, "val") == ["images/rome/3.png"] and "(ulm/0)" in refused(data, "val")[0]
    lists(root, ["rome/0"], ["ulm/1", "bern/1", "rome/3"])  # two lines, one file
    data = maps_of(root)
    assert paths(data, "val") == ["images/rome/3.png"]
    assert "2 label maps without images (ulm/1, bern/1)" in refused(data, "val")[0]


@pytest.mark.parametrize("start", ["/home/me/set/", "set/images/", "./", "images/", "set\\images\\"])
@pytest.mark.parametrize("end", ["", ".png", ".jpg", ".png\tmasks/x.png"])
def test_folders_around_the_data_are_left_out(tmp_path: Path, start: str, end: str) -> None:
    root = write(tmp_path / "data")
    if start.startswith("set/") or "\\" in start:
        (root / "images").rename(root / "frames")  # so no folder of the data is called images
    lists(root, [f"{start}rome/{n}{end}" for n in range(4)], [f"{start}ulm/{n}{end}" for n in range(4)])
    data = maps_of(root)
    for split, town in (("train", "rome"), ("val", "ulm")):
        assert [path.split("/")[1:] for path in paths(data, split)] == [[town, f"{n}.png"] for n in range(4)]
        assert not refused(data, split)


def test_a_name_of_several_images_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path)
    lists(root, ["rome/0", "rome/1"], ["3", "ulm/2"])
    message = r"the line 3 of .*val\.txt names several images \(images/rome/3.png, images/ulm/3.png\)"
    with pytest.raises(UserError, match=message) as caught:
        maps_of(root)
    assert "\n" not in str(caught.value)
    lose(root, "rome", 3)
    assert paths(maps_of(root), "val") == ["images/ulm/3.png", "images/ulm/2.png"]
