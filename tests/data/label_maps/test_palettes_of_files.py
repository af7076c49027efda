"""Palettes of mask files: indices are classes where all files agree, and else nothing is merged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from own_masks import COUNTS, NAMES, Labels, found, opened, save, truth, write
from PIL import Image

from mmbench.data import Scenes
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.palettes import voc_palette
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.reading import label_map_data
from mmbench.data.label_maps.scenes import scene_parts
from mmbench.data.label_maps.types import Colour, Stated
from mmbench.errors import UserError

BLACK, RED, GREEN, BLUE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)
TABLE = np.array([BLACK, RED, GREEN, BLUE], np.uint8)
SEVERAL = (
    r"give one index several colours \(.* in segmentation/.* and .* in .*labelmap\.txt.*grey PNG of values"
)


def files(root: Path) -> list[tuple[Path, Labels]]:
    """Return each mask file with its labels; files show one class each, the first the first one."""
    every = [(split, number) for split, count in COUNTS.items() for number in range(count)]
    shown = [(place, truth(*of)) for place, of in enumerate(every)]
    kept = [np.where(labels == 1 + place % 3, labels, 0) for place, labels in shown]
    paths = [root / f"segmentation/{split}/{number}.png" for split, number in every]
    return list(zip(paths, kept, strict=True))


def paletted(labels: Labels, palette: Sequence[Sequence[int]]) -> Image.Image:
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette([channel for colour in palette for channel in colour])
    return image


def per_image(labels: Labels, table: Labels = TABLE) -> Image.Image:
    """Return what a program writes that makes a palette of the colours of each image: black is first."""
    values = np.unique(labels).tolist()
    return paletted(np.searchsorted(values, labels), table[values].tolist())


def require_labels(data: AnnotatedData, written: Sequence[tuple[Path, Labels]]) -> None:
    assert data.label_maps is not None
    for path, labels in written:
        assert (read_labels(path, data.label_maps.coding) == labels).all()
    for split in COUNTS:
        assert not [line for line in found(data, split) if "refused" in line]


def stated(root: Path, palette: tuple[Colour, ...]) -> AnnotatedData:
    known = Stated(("background", *NAMES), "background", palette=palette)
    return label_map_data("own", root, "folders", scene_parts(Scenes(root, NAMES)), known)


def test_greys_that_gif_numbers_per_image_are_refused(tmp_path: Path) -> None:
    written = files(write(tmp_path))
    for path, labels in written:
        Image.fromarray(labels).save(path, "GIF")
        assert (np.asarray(Image.open(path).convert("L")) == labels).all()  # the file itself is right
    with pytest.raises(UserError, match=SEVERAL) as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)


def test_gif_is_read_where_its_indices_are_the_greys(tmp_path: Path) -> None:
    root = write(tmp_path)
    written = [(path, truth(path.parent.name, int(path.stem))) for path, _ in files(root)]
    for path, labels in written:
        Image.fromarray(labels).save(path, "GIF")
    data = opened(root)
    assert data.remarks == ()
    require_labels(data, written)


def test_colours_that_are_numbered_per_image_are_refused_or_read_as_listed(tmp_path: Path) -> None:
    written = files(write(tmp_path))
    for path, labels in written:
        save(path, per_image(labels))
    with pytest.raises(UserError, match=SEVERAL):
        opened(tmp_path)
    require_labels(stated(tmp_path, (BLACK, RED, GREEN, BLUE)), written)


def test_two_equal_colours_in_a_palette_do_not_hide_that(tmp_path: Path) -> None:
    written = files(write(tmp_path))
    for path, labels in written:
        indices = labels.astype(bool).astype(np.uint8)
        indices[:, ::2] *= 2  # two indices of one colour
        colour = TABLE[labels.max()].tolist()
        save(path, paletted(indices, [BLACK, colour, colour]))
    with pytest.raises(UserError, match=SEVERAL):
        opened(tmp_path)
    require_labels(stated(tmp_path, (BLACK, RED, GREEN, BLUE)), written)


def test_colours_of_voc_that_are_numbered_per_image_are_read(tmp_path: Path) -> None:
    written = files(write(tmp_path))
    for path, labels in written:
        save(path, per_image(labels, np.array(voc_palette(4), np.uint8)))
    data = opened(tmp_path)
    assert data.remarks[0] == "the colours of label maps are read by VOC's colours"
    require_labels(data, written)


def test_a_file_of_background_alone_counts_too(tmp_path: Path) -> None:
    """Its palette is black at index 0, where that of the others is red."""
    written = files(write(tmp_path))
    written = [(path, np.minimum(labels, 1)) for path, labels in written]
    for path, labels in written[1:]:
        save(path, paletted(1 - labels, [RED, BLACK]))
    written[0] = (written[0][0], np.zeros_like(written[0][1]))
    save(written[0][0], paletted(written[0][1], [BLACK]))
    with pytest.raises(UserError, match=SEVERAL):
        opened(tmp_path, ("cat",))


@pytest.mark.parametrize("greys", [(0, 2, 3), (0, 3, 255)])
def test_greys_of_other_classes_are_unclear(tmp_path: Path, greys: tuple[int, ...]) -> None:
    """As a program writes them that makes files small: all palettes agree, and index 1 has a class's grey."""
    root = write(tmp_path)
    for path, labels in files(root):
        save(path, paletted(np.minimum(labels, 2), [(grey, grey, grey) for grey in greys]))
    with pytest.raises(
        UserError, match=f"index 1 is the grey {greys[1]}, so it is unclear .* 1 or {greys[1]};"
    ):
        opened(root)


def test_greys_of_a_palette_beside_grey_files_are_unclear(tmp_path: Path) -> None:
    root = write(tmp_path)
    path, labels = files(root)[1]
    save(path, paletted(np.minimum(labels, 1), [(0, 0, 0), (200, 200, 200)]))
    with pytest.raises(UserError, match=SEVERAL):
        opened(root)


def test_a_palette_of_one_colour_says_nothing_of_indices_and_is_refused_among_colours(tmp_path: Path) -> None:
    root = write(tmp_path)
    written = [(path, truth(path.parent.name, int(path.stem))) for path, _ in files(root)]
    for number, (path, labels) in enumerate(written):
        save(path, paletted(labels, TABLE.tolist() if number else [BLACK] * 4))
    require_labels(opened(root), written)
    require_labels(stated(root, (BLACK, RED, GREEN, BLUE)), written)
    save(written[1][0], TABLE[written[1][1]])
    with pytest.raises(
        UserError, match=r"palette of segmentation/train/0\.png gives several indices one colour"
    ):
        stated(root, (BLACK, RED, GREEN, BLUE))


def usual(number: int, labels: Labels) -> Labels | Image.Image:
    """Return mask files that differ in ways that do not matter, one after the other."""
    colours = np.random.default_rng(0).permutation(256)[:, None] + np.array([0, 90, 31])
    palette = (colours % 256).astype(np.uint8)
    palette[40:60] = number  # entries that no pixel has
    palette[255] = (224, 224, 192) if number % 2 else (255, 255, 255)
    if number == 3:
        return labels  # grey
    return paletted(labels, palette[: 256 if number else 4].tolist())


def test_palettes_that_differ_elsewhere_are_read_by_index_without_a_word(tmp_path: Path) -> None:
    root = write(tmp_path)
    written = []
    for number, (path, _) in enumerate(files(root)):
        labels = truth(path.parent.name, int(path.stem))
        labels[0] = 255 if number else 0
        save(path, usual(number, labels))
        written.append((path, labels))
    data = opened(root)
    assert data.remarks == ()
    require_labels(data, written)
