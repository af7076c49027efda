"""Writes one and the same tiny data set of label maps in every layout that users have.

    from label_map_layouts import CLASSES, tiny, write_mmseg, write_plain, write_scenes, write_voc_masks

    truth = tiny({"train": 6, "val": 3})               # 32 x 24 px, background and three classes
    write_mmseg(tmp_path / "set", truth)               # or another: the same images and labels

Label maps are PNG files with a palette; `mode="L"` writes grey ones, `mode="RGB"` colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from annotated_layouts import Drawings, Drawn, Thing, voc_xml, write_coco
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("background", "red", "green", "blue")
PALETTE = ((0, 0, 0), (220, 40, 40), (40, 200, 60), (50, 60, 220))
Mode = Literal["P", "L", "RGB"]


@dataclass(frozen=True)
class Labelled:
    """One image (H, W, 3) and its labels (H, W): 0 is background, 255 is ignored."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    things: tuple[Thing, ...] = ()


Truth = Mapping[str, Sequence[Labelled]]


def tiny(
    counts: Mapping[str, int],
    size: tuple[int, int] = (32, 24),
    seed: int = 0,
    classes: int = len(CLASSES),
    ignored: bool = True,
) -> dict[str, list[Labelled]]:
    """Return images with two coloured rectangles each, one in every class after the other.

    Args:
        size: width and height, px.
        classes: how many, background included.
        ignored: whether some images have a border of label 255 around a rectangle.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    colours = np.array(PALETTE, np.uint8)
    splits: dict[str, list[Labelled]] = {}
    for split, count in counts.items():
        splits[split] = []
        for number in range(count):
            pixels = rng.normal(128, 12, (height, width, 3)).clip(0, 255).astype(np.uint8)
            labels = np.zeros((height, width), np.uint8)
            things = []
            for place in range(2):
                label = 1 + (2 * number + place) % (classes - 1)
                across, down = width // 2 - 3, height // 2
                left = int(rng.integers(1, 3)) + place * width // 2
                top = int(rng.integers(1, height - down - 1))
                if ignored and number % 2:
                    labels[top - 1 : top + down + 1, left - 1 : left + across + 1] = 255
                labels[top : top + down, left : left + across] = label
                pixels[top : top + down, left : left + across] = colours[label % len(colours)]
                right, bottom = left + across, top + down
                outline = (left, top, right, top, right, bottom, left, bottom)
                things.append(Thing(label - 1, (left, top, right, bottom), outline))
            splits[split].append(Labelled(f"{split}-{number:04d}", pixels, labels, tuple(things)))
    return splits


def save_image(image: Labelled, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.pixels).save(path, quality=95)


def save_labels(
    labels: NDArray[np.uint8], path: Path, mode: Mode = "P", palette: Sequence[Sequence[int]] = PALETTE
) -> None:
    """Write labels; 255 is drawn in VOC's (224, 224, 192)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    table[255] = (224, 224, 192)
    if mode == "RGB":
        Image.fromarray(table[labels]).save(path)
        return
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette(table.tobytes())
    image.save(path)


def write_mmseg(
    root: Path,
    truth: Truth,
    mode: Mode = "P",
    image: str = "NAME.png",
    label_map: str = "NAME.png",
    towns: bool = False,
) -> Path:
    """Write mmsegmentation's layout: img_dir/SPLIT and ann_dir/SPLIT.

    Args:
        image, label_map: what the files are called.
        towns: put files into folders of their own.
    """
    for split, labelled in truth.items():
        for number, one in enumerate(labelled):
            inside = f"{split}/{('rome', 'ulm')[number % 2]}" if towns else split
            save_image(one, root / "img_dir" / inside / image.replace("NAME", one.name))
            save_labels(one.labels, root / "ann_dir" / inside / label_map.replace("NAME", one.name), mode)
    return root


def write_voc_masks(
    root: Path,
    truth: Truth,
    mode: Mode = "P",
    lists: str | None = "ImageSets/Segmentation",
    boxes: bool = False,
) -> Path:
    """Write VOC's layout: JPEGImages, SegmentationClass, and a list per split.

    Args:
        lists: folder of the lists; None writes none.
        boxes: also write Annotations and ImageSets/Main.
    """
    for split, labelled in truth.items():
        for one in labelled:
            save_image(one, root / "JPEGImages" / f"{one.name}.png")
            save_labels(one.labels, root / "SegmentationClass" / f"{one.name}.png", mode)
            if boxes:
                (root / "Annotations").mkdir(exist_ok=True)
                xml = voc_xml(Drawn(one.name, one.pixels, one.things), CLASSES[1:])
                (root / "Annotations" / f"{one.name}.xml").write_text(xml)
        for place in (lists, "ImageSets/Main" if boxes else None):
            if place is not None:
                (root / place).mkdir(parents=True, exist_ok=True)
                (root / place / f"{split}.txt").write_text("".join(f"{one.name}\n" for one in labelled))
    return root


def write_plain(
    root: Path,
    truth: Truth,
    mode: Mode = "P",
    images: str = "images/SPLIT/NAME.png",
    masks: str = "masks/SPLIT/NAME.png",
) -> Path:
    """Write images and label maps by templates, such as "SPLIT/NAME.jpg" and "SPLIT/NAME_mask.png"."""
    for split, labelled in truth.items():
        for one in labelled:
            image, label_map = (text.replace("SPLIT", split) for text in (images, masks))
            save_image(one, root / image.replace("NAME", one.name))
            save_labels(one.labels, root / label_map.replace("NAME", one.name), mode)
    return root


def write_scenes(root: Path, truth: Truth, mode: Mode = "P") -> Path:
    """Write the layout of Patterns' scenes: COCO's boxes beside segmentation/SPLIT, of the same images."""
    drawings = Drawings(
        CLASSES[1:],
        {split: [Drawn(one.name, one.pixels, one.things) for one in part] for split, part in truth.items()},
    )
    write_coco(root, drawings)
    return write_plain(root, truth, mode, masks="segmentation/SPLIT/NAME.png")


def write_classes(path: Path, names: Sequence[str] = CLASSES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))
