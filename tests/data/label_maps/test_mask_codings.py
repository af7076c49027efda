"""Label maps as people have them: read as they are meant and said, or refused; never ignored in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_masks import COUNTS, NAMES, Labels, found, opened, save, truth, write
from PIL import Image

from mmbench.data import Scenes
from mmbench.data.annotated.remarks import checked_remarks
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.palettes import voc_palette
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.reading import label_map_data
from mmbench.data.label_maps.scenes import scene_parts
from mmbench.data.label_maps.types import Colour, Stated
from mmbench.errors import UserError

VOC = np.array(voc_palette(), np.uint8)


def read(data: AnnotatedData, split: Any = "train") -> list[Labels]:
    assert data.label_maps is not None
    part = data.split(split)
    return [read_labels(part.root / str(image.label_map), data.label_maps.coding) for image in part.images]


def paletted(labels: Labels, palette: Labels = VOC) -> Image.Image:
    image = Image.fromarray(labels)
    image.putpalette(palette.ravel().tolist())
    return image


ALIKE: dict[str, Callable[[Labels], Labels | Image.Image]] = {
    "grey": lambda labels: labels,
    "palette": paletted,
    "palette of few bits": lambda labels: paletted(labels, VOC[:4]),
    "16 bits": lambda labels: labels.astype(np.uint16),
    "equal channels": lambda labels: np.stack([labels] * 3, -1),
    "opaque": lambda labels: np.stack([labels, labels, labels, np.full_like(labels, 255)], -1),
    "grey and opaque": lambda labels: Image.fromarray(np.stack([labels, np.full_like(labels, 9)], -1), "LA"),
}


@pytest.mark.parametrize("way", ALIKE)
def test_values_are_read_from_each_way_of_storing_them_without_a_word(tmp_path: Path, way: str) -> None:
    data = opened(write(tmp_path, ALIKE[way]))
    assert data.classes == ("background", *NAMES) and data.remarks == ()
    for split, count in COUNTS.items():
        assert found(data, split) == []
        for number, labels in enumerate(read(data, split)):
            assert labels.dtype == np.uint8 and (labels == truth(split, number)).all()
        assert number == count - 1


def test_voc_colours_are_read_and_said(tmp_path: Path) -> None:
    data = opened(write(tmp_path, lambda labels: VOC[labels]))
    assert all((labels == truth("train", n)).all() for n, labels in enumerate(read(data)))
    assert data.remarks == ("the colours of label maps are read by VOC's colours",)


@pytest.mark.parametrize(
    "table",
    [
        [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],  # as dark as labels are
        [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)],
        [(9, 9, 9), (128, 0, 0), (0, 128, 0), (128, 128, 0)],
    ],
)
def test_colours_that_no_palette_explains_are_refused(tmp_path: Path, table: list[Any]) -> None:
    colours = np.array(table, np.uint8)
    with pytest.raises(UserError, match=r"no palette explains .*labelmap\.txt"):
        opened(write(tmp_path, lambda labels: colours[labels]))


def test_colours_are_explained_by_a_palette_file_beside_them(tmp_path: Path) -> None:
    colours = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], np.uint8)
    root = write(tmp_path, lambda labels: colours[labels])
    save(root / "segmentation/train/0.png", paletted(truth("train", 0), colours))
    data = opened(root)
    assert all((labels == truth("train", n)).all() for n, labels in enumerate(read(data)))
    assert "the palette of segmentation/train/0.png" in data.remarks[0]
    assert "stored in several ways" in data.remarks[1]


def test_grey_files_beside_colours_are_read_by_their_values(tmp_path: Path) -> None:
    root = write(tmp_path, lambda labels: VOC[labels])
    save(root / "segmentation/test/1.png", truth("test", 1))
    assert all((labels == truth("test", n)).all() for n, labels in enumerate(read(opened(root), "test")))


def test_palettes_that_number_colours_differently_are_read_by_colour(tmp_path: Path) -> None:
    root = write(tmp_path, paletted)
    order = [0, 2, 1, 3]
    save(
        root / "segmentation/train/1.png",
        paletted(np.argsort(order)[truth("train", 1)].astype(np.uint8), VOC[order]),
    )
    data = opened(root)
    assert (read(data)[1] == truth("train", 1)).all() and "VOC's colours" in data.remarks[0]


def stated(root: Path, names: tuple[str, ...], palette: tuple[Colour, ...]) -> AnnotatedData:
    parts = scene_parts(Scenes(root, names))
    background = "background" if "background" in names else None
    return label_map_data("own", root, "folders", parts, Stated(names, background, palette=palette))


RED, GREEN, DARK, BLACK = (255, 0, 0), (0, 255, 0), (1, 0, 0), (0, 0, 0)


@pytest.mark.parametrize("listed_background", [True, False])
@pytest.mark.parametrize("change", ["colour", "palette in the listed order", "palette in another order"])
def test_listed_colours_say_what_pixels_are(tmp_path: Path, listed_background: bool, change: str) -> None:
    colours = np.array([BLACK, RED, DARK, GREEN], np.uint8)
    order = np.array([0, 3, 1, 2] if "another" in change else [0, 1, 2, 3])
    indices = np.argsort(order).astype(np.uint8)

    def write_colours(labels: Labels) -> Labels | Image.Image:
        return colours[labels] if change == "colour" else paletted(indices[labels], colours[order])

    root = write(tmp_path, write_colours)
    if listed_background:
        data = stated(root, ("background", *NAMES), (BLACK, RED, DARK, GREEN))
    else:
        data = stated(root, NAMES, (RED, DARK, GREEN))
    assert data.classes == ("background", *NAMES) and data.label_maps is not None
    assert data.label_maps.palette == (BLACK, RED, DARK, GREEN) and data.label_maps.background == 0
    assert all((labels == truth("test", n)).all() for n, labels in enumerate(read(data, "test")))
    said = any("read as listed" in remark for remark in data.remarks)
    assert said == (change != "palette in the listed order")


def test_listed_colours_may_turn_0_and_255_round(tmp_path: Path) -> None:
    root = write(tmp_path, lambda labels: np.where(labels > 0, 0, 255).astype(np.uint8))
    data = stated(root, ("background", "lesion"), ((255, 255, 255), BLACK))
    assert (read(data)[0] == (truth("train", 0) > 0)).all()


def test_colours_that_are_not_listed_are_refused_with_their_place(tmp_path: Path) -> None:
    colours = np.array([BLACK, RED, DARK, GREEN], np.uint8)
    root = write(tmp_path, lambda labels: colours[labels])
    data = stated(root, ("background", "cat", "bus"), (BLACK, RED, GREEN))
    assert (
        "colours that are not those of a class (segmentation/train/0.png: colour (1, 0, 0)" in found(data)[0]
    )
    with pytest.raises(UserError, match=r"pixels of colour \(1, 0, 0\)"):
        read(data)


def test_borders_of_voc_are_ignored_among_colours(tmp_path: Path) -> None:
    root = write(tmp_path, lambda labels: VOC[np.where(labels == 3, 255, labels)])
    data = stated(root, ("background", "cat", "dog"), (BLACK, (128, 0, 0), (0, 128, 0)))
    assert (read(data)[0] == np.where(truth("train", 0) == 3, 255, truth("train", 0))).all()
    assert "(224, 224, 192), which is not listed, is ignored as in VOC" in data.remarks[0]


def test_listed_classes_of_voc_colours_may_lack_background(tmp_path: Path) -> None:
    data = stated(write(tmp_path, lambda labels: VOC[labels]), NAMES, ())
    assert data.classes == ("background", *NAMES) and len(data.remarks) == 2
    assert (read(data)[0] == truth("train", 0)).all()


BINARY: dict[str, Callable[[Labels], Labels | Image.Image]] = {
    "grey": lambda labels: np.where(labels > 0, 255, 0).astype(np.uint8),
    "colour": lambda labels: np.stack([np.where(labels > 0, 255, 0).astype(np.uint8)] * 3, -1),
    "16 bits": lambda labels: np.where(labels > 0, 65535, 0).astype(np.uint16),
}


@pytest.mark.parametrize("way", BINARY)
@pytest.mark.parametrize("names", [("lesion",), ("background", "lesion")])
def test_0_and_255_alone_are_two_classes_and_nothing_is_ignored(
    tmp_path: Path, way: str, names: tuple[str, ...]
) -> None:
    data = opened(write(tmp_path, BINARY[way]), names)
    assert data.classes == ("background", "lesion") and len(data.remarks) == 1
    assert "only" in data.remarks[0] and "is 'lesion', and no pixel is ignored" in data.remarks[0]
    assert all((labels == (truth("test", n) > 0)).all() for n, labels in enumerate(read(data, "test")))


def test_bits_are_two_classes_beside_0_and_255_too(tmp_path: Path) -> None:
    root = write(tmp_path, lambda labels: Image.fromarray(labels > 0))
    data = opened(root, ("lesion",))
    assert data.remarks == () and (read(data)[0] == (truth("train", 0) > 0)).all()
    save(root / "segmentation/test/0.png", BINARY["grey"](truth("test", 0)))
    data = opened(root, ("lesion",))
    assert "so is 1 in those of 1 bit" in data.remarks[0]
    for split in COUNTS:
        assert all((labels == (truth(split, n) > 0)).all() for n, labels in enumerate(read(data, split)))


def test_files_of_one_value_alone_do_not_change_what_255_means(tmp_path: Path) -> None:
    root = write(tmp_path, BINARY["grey"])
    save(root / "segmentation/test/0.png", np.zeros((16, 24), np.uint8))
    save(root / "segmentation/test/1.png", np.full((16, 24), 255, np.uint8))
    data = opened(root, ("lesion",))
    assert [set(labels.ravel()) for labels in read(data, "test")] == [{0}, {1}]


def test_255_is_ignored_beside_labels(tmp_path: Path) -> None:
    def bordered(labels: Labels) -> Labels:
        return np.where(np.arange(24) == 0, 255, labels > 0).astype(np.uint8)

    data = opened(write(tmp_path, bordered), ("lesion",))
    assert data.remarks == () and (read(data)[0] == bordered(truth("train", 0))).all()


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        (BINARY["grey"], NAMES, "values 0 and 255 only, where 4 classes are listed"),
        (lambda labels: np.full_like(labels, 255), ("lesion",), "hold no value but 255"),
        (lambda labels: np.zeros_like(labels), NAMES, "hold no class but 0"),
        (
            lambda labels: np.where(labels == 3, 255, labels).astype(np.uint16) * 257,
            NAMES,
            "0.png: value 257",
        ),
    ],
)
def test_values_that_leave_nothing_to_learn_are_refused(
    tmp_path: Path, change: Callable[[Labels], Labels], names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        checked_remarks(opened(write(tmp_path, change), names), ("test",))


def test_some_files_of_0_and_1_and_others_of_0_and_255_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path, lambda labels: (labels > 0).astype(np.uint8))
    save(root / "segmentation/train/2.png", BINARY["grey"](truth("train", 2)))
    with pytest.raises(UserError, match=r"some label maps .* hold 0 and 1 .* others 0 and 255"):
        opened(root, ("lesion",))


def test_65535_is_ignored_and_never_wrapped(tmp_path: Path) -> None:
    data = opened(write(tmp_path, lambda labels: np.where(labels == 2, 65535, labels.astype(np.uint16))))
    assert data.remarks == ("65535 in label maps means that a pixel is ignored",)
    assert (read(data)[0] == np.where(truth("train", 0) == 2, 255, truth("train", 0))).all()
    assert "train: 1 class without a pixel (dog) kept" in found(data)
    wrapped = opened(
        write(tmp_path / "b", lambda labels: np.where(labels == 2, 257, labels.astype(np.uint16)))
    )
    assert "segmentation/train/0.png: value 257" in found(wrapped)[0] and "refused" in found(wrapped)[0]
