"""Classes and colours in the files of a user's folder of label maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from label_map_layouts import CLASSES, PALETTE, save_labels, tiny, write_classes, write_plain

from mmbench.data import load_dataset
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.own_classes import find_classes
from mmbench.data.label_maps.pixels import read_labels
from mmbench.errors import UserError

TRUTH = tiny({"train": 6, "val": 3}, ignored=False)
NAMES = CLASSES[1:]
PAIRS = list(zip(CLASSES, PALETTE, strict=True))

# File name -> content, for background and three classes with their colours.
COLOURED = {
    "labelmap.txt": "# label:color_rgb:parts:actions\n"
    + "".join(f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in PAIRS),
    "label_colors.txt": "".join(f"{r} {g} {b}\t\t{name}\n" for name, (r, g, b) in PAIRS),
    "class_dict.csv": "name,r,g,b\n" + "".join(f"{name}, {r}, {g}, {b}\n" for name, (r, g, b) in PAIRS),
    "classes.txt": "".join(f"{name} {r} {g} {b}\r\n" for name, (r, g, b) in PAIRS),
    "meta.json": json.dumps(
        {"classes": [{"title": name, "id": 7, "color": f"#{bytes(colour).hex()}"} for name, colour in PAIRS]}
    ),
    "classes.json": json.dumps({"classes": CLASSES, "palette": PALETTE}),
}
PLAIN = {
    "classes.txt": "\ufeff" + "".join(f"{name}\n" for name in CLASSES),
    "labels.txt": "".join(f"{number}: {name}\n" for number, name in enumerate(CLASSES)),
    "class_names.txt": "_background_\nred\ngreen\n\nblue\n",
    "_classes.csv": "Pixel Value, Class\n" + "".join(f"{n}, {name}\n" for n, name in enumerate(CLASSES)),
    "classes.csv": "id,name\n2,green\n0,background\n3,blue\n1,red\n",
    "classes.json": json.dumps({str(number): name for number, name in enumerate(CLASSES)}),
}


def maps_of(root: Path, layout: str | None = None) -> AnnotatedData:
    load_dataset.cache_clear()
    return load_dataset(str(root), layout=layout).require_label_maps()


def require_truth(data: AnnotatedData) -> None:
    assert data.label_maps is not None
    part = data.split("train")
    for image, one in zip(part.images, TRUTH["train"], strict=True):
        assert image.label_map is not None
        assert np.array_equal(read_labels(part.root / image.label_map, data.label_maps.coding), one.labels)


@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
@pytest.mark.parametrize("name", COLOURED)
def test_files_with_colours(tmp_path: Path, name: str, mode: str) -> None:
    root = write_plain(tmp_path, TRUTH, mode)  # type: ignore[arg-type]
    (root / name).write_text(COLOURED[name])
    data = maps_of(root)
    assert data.classes == CLASSES and f"4 classes from {name}, with colours" in data.remarks
    assert data.label_maps is not None and data.label_maps.palette == PALETTE
    assert data.label_maps.background == 0
    require_truth(data)


@pytest.mark.parametrize("name", PLAIN)
def test_files_of_names(tmp_path: Path, name: str) -> None:
    root = write_plain(tmp_path, TRUTH)
    (root / name).write_text(PLAIN[name], encoding="utf-8")
    data = maps_of(root)
    assert data.classes == CLASSES and f"4 classes from {name}" in data.remarks
    assert data.label_maps is not None and data.label_maps.background == 0
    require_truth(data)


@pytest.mark.parametrize(
    "content",
    ["red\ngreen\nblue\n", "1 red\n2 green\n3 blue\n", "__ignore__\n_background_\nred\ngreen\nblue\n"],
)
def test_lists_without_background_and_with_what_is_no_class(tmp_path: Path, content: str) -> None:
    root = write_plain(tmp_path, TRUTH)
    (root / "classes.txt").write_text(content)
    data = maps_of(root)
    assert data.classes == CLASSES and data.label_maps is not None and data.label_maps.background == 0
    require_truth(data)


def test_colours_without_background(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH, "RGB")
    lines = [f"{name}:{r},{g},{b}::\n" for name, (r, g, b) in PAIRS[1:]]
    (root / "labelmap.txt").write_text("".join(lines))
    data = maps_of(root)
    assert data.classes == CLASSES
    require_truth(data)


def test_classes_are_counted_where_no_file_lists_them(tmp_path: Path) -> None:
    data = maps_of(write_plain(tmp_path, TRUTH))
    assert data.classes == ("background", "class 1", "class 2", "class 3")
    require_truth(data)


@pytest.mark.parametrize("name", ["classes.txt", "labelmap.txt", "labels.txt"])
@pytest.mark.parametrize(
    "content",
    [
        "green: 2\nbackground: 0\nblue: 3\nred: 1\n",
        "green : 2\nblue :3:\nred:1::\n",  # no background
        "green,2\nbackground, 0\nblue;3\nred ; 1\n",
        "void: 255\ngreen: 2\nbackground: 0\nblue: 3\nred: 1\n",
        "2: green\n0: background\n3: blue\n1: red\n255: void\n",
    ],
)
def test_values_of_names_in_any_order(tmp_path: Path, name: str, content: str) -> None:
    root = write_plain(tmp_path, TRUTH)
    (root / name).write_text(content)
    data = maps_of(root)
    assert data.classes == CLASSES and data.label_maps is not None and data.label_maps.background == 0
    said = f"'void' in {name} is no class, as value 255 is ignored" in data.remarks
    assert said == ("void" in content)
    require_truth(data)


@pytest.mark.parametrize(
    "names",
    [
        ("stage 1", "stage 2", "stage 3", "stage 4"),
        ("road", "level 2", "level 3", "level 1"),
        ("cars, 4", "a, b", "c", "d"),
    ],
)
def test_names_that_end_with_numbers(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = write_plain(tmp_path, TRUTH)
    write_classes(root / "classes.txt", names)
    assert maps_of(root).classes == names


@pytest.mark.parametrize("folder", ["masks", "masks/train", "images/train", "train"])
def test_where_the_file_lies(tmp_path: Path, folder: str) -> None:
    """Exporters write it beside the images of a split, or beside the label maps."""
    root = write_plain(tmp_path, TRUTH)
    if folder == "train":
        root = write_plain(tmp_path / "x", TRUTH, images="SPLIT/NAME.jpg", masks="SPLIT/NAME_mask.png")
    write_classes(root / folder / "classes.txt")
    expected = folder != "images/train"
    assert (maps_of(root).classes == CLASSES) is expected
    write_classes(root / "classes.txt")
    assert maps_of(root).classes == CLASSES


def test_more_files_than_one(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH, "RGB")
    write_classes(root / "classes.txt", NAMES)
    (root / "labelmap.txt").write_text(COLOURED["labelmap.txt"])
    assert "4 classes from labelmap.txt, with colours" in maps_of(root).remarks  # the one that says more


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", "red\nblue\nred\n", "names the class 'red' twice"),
        ("classes.txt", "Red\nblue\nred\n", "differ in capital letters only"),
        ("labelmap.txt", "a:1,2,3::\nb:1,2,3::\n", r"gives two classes the colour \(1, 2, 3\)"),
        ("labelmap.txt", "a:1,2,300::\nb:1,2,3::\n", r"has the colour \(1, 2, 300\); channels are 0 to 255"),
        ("class_dict.csv", "name,r,g,b\na,1,2\n", r"the line a,1,2 is not like the first, name,r,g,b"),
        ("class_dict.csv", "a,1,2,3\n", "has no column of names; begin it with a line such as name,r,g,b"),
        ("_classes.csv", "Pixel Value,Class\n0,a\n5,b\n", "do not count from 0 or 1; list every value"),
        ("classes.txt", "a: 0\nb\nc: 2\n", "the line b has no value, where others do; add it"),
        ("classes.txt", "a: 0\nb: 1\nc: 1\n", "gives b, c the value 1; every class needs its own"),
        ("classes.txt", "a 2\nb 0\nc 1\n", r"unclear whether .* \(such as a 2\); write 'name: 0'"),
        ("classes.txt", "a: 0\nb: 2\n", r"\(0, 2\) do not count from 0 or 1; list every value"),
        ("classes.txt", "2: a\n3: b\n", r"\(2, 3\) do not count from 0 or 1; list every value"),
        ("classes.txt", "void: 255\n", "names no class"),
        ("meta.json", "{", "is not valid JSON"),
        ("meta.json", '{"classes": [{"color": "#ff0000"}]}', "is not a class with a name"),
        (
            "meta.json",
            '{"classes": [{"title": "a", "color": "red"}]}',
            "is not a colour; write \\[255, 0, 0\\]",
        ),
        ("classes.json", '{"classes": ["a"], "palette": []}', "another number of colours"),
    ],
)
def test_files_that_contradict_themselves(tmp_path: Path, name: str, content: str, message: str) -> None:
    root = write_plain(tmp_path, TRUTH)
    (root / name).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        maps_of(root)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_json_of_something_else_lists_no_classes(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text('{"author": "x"}')
    assert find_classes(tmp_path, []) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0003\n0007\n", "numbers alone (such as 0003); write '3: cat' for class cat of value 3"),
        ("1\n0\n", "numbers alone (such as 1)"),
        ("0003 cat\n0007 dog\n", "(such as 0003 cat); write '3: cat' for values, and '_' for the blanks"),
        ("cat 0002\ndog 0001\n", "(such as cat 0002); write '3: cat' for values"),
        ("0000 sky\n0001 cat\n0001 dog\n", "do not count from 0 or 1"),
    ],
)
def test_numbers_that_may_be_values_or_names_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(UserError) as caught:
        find_classes(tmp_path, [])
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0000 sky\n0001 cat\n", ["sky", "cat"]),
        ("cat: 0001\nsky: 0000\n", ["sky", "cat"]),
        ("sky\nagent 007\n", ["sky", "agent 007"]),  # some lines have no number
        ("0\n1\n2\n", ["0", "1", "2"]),  # as values and as places
    ],
)
def test_numbers_with_zeros_in_front_are_values_where_that_is_clear(
    tmp_path: Path, text: str, names: list[str]
) -> None:
    (tmp_path / "classes.txt").write_text(text)
    found = find_classes(tmp_path, [])
    assert found is not None and list(found.stated.classes or ()) == names


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(UserError, match="is not text in UTF-8 or UTF-16"):
        find_classes(tmp_path, [])


def test_a_pixel_that_no_class_has_is_found(tmp_path: Path) -> None:
    root = write_plain(tmp_path, TRUTH)
    write_classes(root / "classes.txt")
    bad = TRUTH["val"][0].labels.copy()
    bad[0, 0] = 77
    save_labels(bad, root / "masks/val/val-0000.png")
    refused = [finding for finding in maps_of(root).split("val").findings if finding.action == "refused"]
    assert len(refused) == 1 and "masks/val/val-0000.png" in refused[0].line()
