"""Checks of a data set on disk: facts about it, and all problems found."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageDraw

from mmbench.data import Dataset, ImageSplit, Scenes, load_dataset, load_images
from mmbench.data.annotated.layout import find_own, require_layout
from mmbench.data.dataset import CHECKERS
from mmbench.data.file_facts.content_hashes import DATABASE
from mmbench.data.folder import UNLABELLED
from mmbench.data.images.decoding import decode, open_rgb
from mmbench.data.images.sides import sides
from mmbench.data.manifest import manifest
from mmbench.data.opening import image_path
from mmbench.data.packs.reading import PackedFiles, changed_files
from mmbench.data.quick_check import images_per_class, pixel_remarks, several_labels, size_remarks
from mmbench.data.types import SPLITS, Split
from mmbench.errors import UserError
from mmbench.file_names import counted
from mmbench.tools.annotated_check import check_annotated, distinct_splits, finding_line
from mmbench.tools.contact_sheet import read_coco

MOST_NAMED = 5  # damaged images of a split whose fault is printed
BOX_TOLERANCE = 1.5  # px: VOC rounds its boxes, and counts from 1
LEAST_MASK_OVERLAP = 0.85  # intersection over union of polygon and label map; their edges may differ


def check_dataset(name: str, root: Path, layout: str | None = None) -> tuple[list[str], list[str]]:
    """Return (facts, problems) of the data set `name` in `root`, or of the folder at the path `name`.

    Every image is decoded. A folder without clear labels is checked as images without labels, and
    the reason is a problem. Generated data are compared with their digests. Scenes are
    read in all three layouts, which must agree. Of annotated images the findings are those of a run.

    Args:
        layout: of a folder, see `load_dataset`.

    Raises:
        UserError: unknown name, or data that cannot be read at all.
    """
    problems: list[str] = []
    if name in CHECKERS.names():  # before loading, which may generate what is missing
        problems += CHECKERS.get(name)(root / name)
        if problems:
            return [], problems
    dataset = _load(name, root, layout, problems)
    problems += _changed(dataset)
    facts = [*dataset.remarks, *size_remarks(dataset)]
    parts = {split: _decoded(dataset, split, problems) for split in SPLITS if split in dataset.splits}
    for split in SPLITS:
        if split in dataset.splits:
            facts.append(_split_facts(dataset, split, parts[split], problems))
            if split in dataset.files:
                facts += [line for line in dataset.files[split]().remarks if line not in facts]
                facts += pixel_remarks(dataset.files[split](), split, most=len(dataset.files[split]()))
    for split in SPLITS:
        if split in dataset.files and not dataset.expected:  # what is published is as its authors label it
            known = manifest(dataset.name) is not None
            (facts if known else problems).extend(several_labels(dataset.files[split](), split))
    problems += shared_images({split: part for split, part in parts.items() if part is not None})
    for data in (dataset.annotated, dataset.label_maps):
        if data is not None:
            more_facts, more_problems = check_annotated(data)
            facts += [fact for fact in more_facts if fact not in facts]
            problems += [problem for problem in more_problems if problem not in problems]
    if dataset.scenes is not None:
        for split in SPLITS:
            if dataset.scenes.coco_json(split).exists():
                facts.append(_scene_facts(dataset.scenes, split, problems))
            else:
                problems.append(f"{dataset.scenes.coco_json(split)} is missing")
        for data in (dataset.require_annotated(), dataset.require_label_maps()):
            for _, part in distinct_splits(data):
                for finding in part.findings:
                    (problems if finding.action == "refused" else facts).append(finding_line(finding))
    return facts, problems


def _load(name: str, root: Path, layout: str | None, problems: list[str]) -> Dataset:
    """Return the data set; where labels are the only problem, without them."""
    try:
        return load_dataset(name, root) if layout is None else load_dataset(name, root, layout)
    except UserError as error:
        path = image_path(name, root)
        if path is None or not path.exists():
            raise
        if path.is_dir():
            find_own(
                path, None if layout is None else require_layout(layout)
            )  # raises the error again if annotations are what is wrong
        try:
            found = load_images(path)
        except UserError:
            raise error from None
        problems.append(f"no labels can be read: {error}")
        return found


def _changed(dataset: Dataset) -> list[str]:
    """Return what of a packed copy is not what was packed: images, if a file changed, and files."""
    packed = [files for find in dataset.files.values() if isinstance(files := find(), PackedFiles)]
    shards = changed_files(dataset.root) if packed else []
    return [line for files in packed for line in files.changed()] + shards if shards else []


def _decoded(dataset: Dataset, split: Split, problems: list[str]) -> ImageSplit | None:
    """Return the images of a split that can be read, None if none can; others become problems."""
    if split not in dataset.files:
        known = dataset.split(split)
        found = ImageSplit(known.images, known.labels)  # decoded now, and identified by what was decoded
        if found.fingerprint != known.fingerprint:
            problems.append(
                f"{split}: images changed though sizes and dates of their files did not; the disk may be "
                f"damaged, or remove {DATABASE} where the images are right"
            )
        return found
    files, unreadable = dataset.files[split](), list[str]()
    dataset.labels(split)  # checked
    try:
        part = decode(files, dataset.image_size, unreadable)
    except UserError:
        part = None
    for path in sorted(unreadable)[:MOST_NAMED]:
        try:
            open_rgb(files.place(files.paths.index(path)))
        except UserError as error:
            problems.append(f"{split}: {error}")
    if len(unreadable) > MOST_NAMED:
        problems.append(f"{split}: {len(unreadable) - MOST_NAMED} more images cannot be read")
    return part


def _split_facts(dataset: Dataset, split: Split, part: ImageSplit | None, problems: list[str]) -> str:
    if part is None:
        return f"{split}: no image can be read"
    size = sides(dataset, split)
    of_size = "" if size is None else f" of {size.span}"
    if dataset.classes == UNLABELLED:
        return f"{split}: {counted(len(part), 'image')}{of_size}, without labels"
    counts = images_per_class(dataset, part.labels).tolist()
    problems += [
        f"{split}: class '{name}' has no image"
        for name, count in zip(dataset.classes, counts, strict=True)
        if count == 0
    ]
    balance = (
        f"{counts[0]} per class" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)} per class"
    )
    return f"{split}: {len(part)} images{of_size}, {len(counts)} classes, {balance}"


def shared_images(parts: Mapping[Split, ImageSplit]) -> list[str]:
    """Return a line for each pair of splits that share images, pixel by pixel."""
    seen: dict[str, set[bytes]] = {
        split: {hashlib.blake2b(image.tobytes()).digest() for image in part.images.numpy()}
        for split, part in parts.items()
    }
    lines = []
    names = list(seen)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            if both := len(seen[first] & seen[second]):
                lines.append(f"{first} and {second} share {both} identical images")
    return lines


def _scene_facts(scenes: Scenes, split: Split, problems: list[str]) -> str:
    content = read_coco(scenes, split)
    problems += scene_problems(scenes, split, content)
    return f"scenes, {split}: {len(content['images'])} images, {len(content['annotations'])} objects"


def scene_problems(scenes: Scenes, split: Split, content: dict[str, Any]) -> list[str]:
    """Return where images, COCO boxes and polygons, label maps and VOC files of a split disagree."""
    problems: list[str] = []
    categories = {item["id"]: item["name"] for item in content["categories"]}
    if categories != dict(enumerate(scenes.classes, start=1)):
        problems.append(
            f"{scenes.coco_json(split)}: the categories are not 1..{len(scenes.classes)} in order"
        )
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    on_disk = {path.name for path in scenes.images(split).glob("*.png")}
    named = {image["file_name"] for image in content["images"]}
    problems += [f"{scenes.images(split) / name} is missing" for name in sorted(named - on_disk)]
    problems += [f"{scenes.images(split) / name} is in no annotation" for name in sorted(on_disk - named)]
    for image in content["images"]:
        if image["file_name"] in on_disk:
            try:
                problems += _one_scene(scenes, split, image, by_image[image["id"]])
            except (OSError, ElementTree.ParseError, UserError) as error:
                problems.append(f"scene {image['file_name']} of {split}: {error}")
    listing = scenes.voc / "ImageSets" / "Main" / f"{split}.txt"
    wanted = sorted(Path(name).stem for name in named)
    if not listing.is_file() or sorted(listing.read_text(encoding="utf-8").split()) != wanted:
        problems.append(f"{listing} does not list the images of {split}")
    return problems


def _one_scene(
    scenes: Scenes, split: Split, image: dict[str, Any], annotations: list[dict[str, Any]]
) -> list[str]:
    name, size = image["file_name"], (image["width"], image["height"])
    stem = Path(name).stem
    with Image.open(scenes.images(split) / name) as opened:
        opened.load()
        image_size = opened.size
    with Image.open(scenes.segmentation(split) / f"{stem}.png") as opened:
        labels = np.asarray(opened)
    if not image_size == size == labels.shape[::-1]:
        return [f"scene {stem}: image, annotation and label map differ in size"]
    problems = []
    drawn = np.zeros(labels.shape, dtype=np.uint8)
    for annotation in annotations:
        polygon = np.array(annotation["segmentation"][0], dtype=np.float64).reshape(-1, 2)
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        x, y, width, height = annotation["bbox"]
        if np.abs(np.array([x, y, x + width, y + height]) - [*low, *high]).max() > BOX_TOLERANCE:
            problems.append(
                f"scene {stem}: the box of annotation {annotation['id']} does not fit its polygon"
            )
        if low.min() < 0 or high[0] > size[0] or high[1] > size[1]:
            problems.append(f"scene {stem}: annotation {annotation['id']} extends outside the image")
        canvas = Image.fromarray(drawn)
        # Pillow counts pixel centres, COCO counts corners.
        ImageDraw.Draw(canvas).polygon(
            [(a - 0.5, b - 0.5) for a, b in polygon], fill=annotation["category_id"]
        )
        drawn = np.asarray(canvas)
    for category in sorted({*np.unique(labels).tolist(), *np.unique(drawn).tolist()} - {0, 255}):
        mask, outline = labels == category, drawn == category
        overlap = (mask & outline).sum() / (mask | outline).sum()
        if overlap < LEAST_MASK_OVERLAP:
            problems.append(
                f"scene {stem}: label map and polygons of class {category} overlap by {overlap:.0%} only"
            )
    return problems + _voc_problems(scenes, stem, annotations)


def _voc_problems(scenes: Scenes, stem: str, annotations: list[dict[str, Any]]) -> list[str]:
    """Compare one VOC file with the COCO boxes."""
    path = scenes.voc / "Annotations" / f"{stem}.xml"
    things = ElementTree.parse(path).getroot().findall("object")
    if Counter(thing.findtext("name") for thing in things) != Counter(
        scenes.classes[annotation["category_id"] - 1] for annotation in annotations
    ):
        return [f"{path} names other objects than the COCO file"]
    for thing, annotation in zip(things, annotations, strict=True):
        x, y, width, height = annotation["bbox"]
        expected = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
        if any(
            not abs(float(thing.findtext(f"bndbox/{edge}") or "nan") - value)
            <= BOX_TOLERANCE  # nan is wrong too
            for edge, value in expected.items()
        ):
            return [f"{path} has other boxes than the COCO file"]
    return []
