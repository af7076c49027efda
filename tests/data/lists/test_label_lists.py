"""Lists of labelled images: names as SimCLR writes them, paths, indices, and everything that can be wrong."""

import time
from pathlib import Path

import pytest
import torch

from mmbench.data.lists.label_lists import labelled_indices
from mmbench.data.lists.listed_names import ImageNames, NamedPart
from mmbench.errors import UserError

PATHS = (
    "n01440764/n01440764_10026.JPEG",
    "n01440764/n01440764_10027.JPEG",
    "n01443537/n01443537_10.JPEG",
    "n01443537/images/n01443537_11.JPEG",
    "cats/0001.png",
    "dogs/0001.png",
    "dogs/an image#2.png",
)


def names(*paths: str) -> ImageNames:
    return ImageNames([NamedPart("train", "", paths)], Path("pets"), asked=1)


def listed(tmp_path: Path, text: str, images: ImageNames | None = None) -> list[int]:
    (tmp_path / "list.txt").write_text(text)
    indices = labelled_indices(tmp_path / "list.txt", images, 7)
    assert indices.dtype == torch.int64
    return indices.tolist()


@pytest.mark.parametrize(
    ("line", "index"),
    [
        ("n01440764_10027.JPEG", 1),
        ("n01440764/n01440764_10027.JPEG", 1),
        ("train/n01440764/n01440764_10027.JPEG", 1),
        ("./n01440764/n01440764_10027.JPEG", 1),
        ("n01443537_11.JPEG", 3),
        ("n01443537/n01443537_11.JPEG", 3),  # the class folder, without what lies between
        ("images/n01443537_11.JPEG", 3),
        ("cats/0001.png", 4),
        ("dogs/0001.png", 5),
        ("an image#2.png", 6),
    ],
)
def test_names_with_and_without_folders(tmp_path: Path, line: str, index: int) -> None:
    assert listed(tmp_path, f"{line}\n", names(*PATHS)) == [index]


def test_comments_blank_lines_and_order(tmp_path: Path) -> None:
    text = "# of our paper\n\n  n01443537_10.JPEG  \r\n\n#n01440764_10027.JPEG\nn01440764_10026.JPEG"
    assert listed(tmp_path, text, names(*PATHS)) == [0, 2]
    assert listed(tmp_path, "# indices\n5\n0\n\n3\n") == [0, 3, 5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; write one image name or index per line"),
        ("# nothing\n\n", "is empty"),
        (
            "cats/0001.png\n\nx.png\ny.png\n",
            r"line 3: 'x\.png' is not an image in train of pets \(2 of 3 items",
        ),
        ("cats/0002.png\n", r"line 1: 'cats/0002\.png' is not an image"),
        ("birds/0001.png\n", r"'birds/0001\.png' is not an image"),
        (
            "0001.png\n",
            r"line 1: '0001\.png' can be cats/0001\.png or dogs/0001\.png; write its folders",
        ),
        ("n01443537_10.JPEG\nn01443537/n01443537_10.JPEG\n", "line 2: .* is named twice, first in line 1"),
    ],
)
def test_bad_names_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        listed(tmp_path, text, names(*PATHS))
    assert "\n" not in str(error.value) and "list.txt" in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3\n7\n9\n", r"line 2: '7' is not an index from 0 to 6 \(2 of 3 items"),
        ("-1\n", "'-1' is not an index from 0 to 6"),
        ("2\n02\n", "line 2: '02' is named twice, first in line 1"),
        ("n01443537_10.JPEG\n", "is not an index; this data set has no image files"),
        ("1.5\n", "'1.5' is not an index"),
        ("²\n", "'²' is not an index"),
    ],
)
def test_bad_indices_are_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        listed(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"list\.txt cannot be read \(no such file\)"):
        labelled_indices(tmp_path / "list.txt", None, 3)
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"list\.txt cannot be read"):
        labelled_indices(tmp_path / "list.txt", None, 3)


def test_as_many_paths_as_imagenet_has(tmp_path: Path) -> None:
    paths = [f"n{label:08d}/n{label:08d}_{number}.JPEG" for label in range(1000) for number in range(1281)]
    wanted = list(range(0, len(paths), 100))
    text = "\n".join(paths[index].partition("/")[2] for index in reversed(wanted))
    (tmp_path / "list.txt").write_text(text)
    images = names(*paths)
    start = time.perf_counter()
    assert labelled_indices(tmp_path / "list.txt", images, len(paths)).tolist() == wanted
    assert time.perf_counter() - start < 20  # a dictionary takes 1 s; a search per line would take hours
