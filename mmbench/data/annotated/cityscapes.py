"""Cityscapes (Cordts et al. 2016): instances of the fine annotations, 8 classes, and label maps."""

from __future__ import annotations

import functools
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmbench.data.annotated.cleaning import clean
from mmbench.data.annotated.coco_masks import encoded
from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.frames import Frame, frame_of
from mmbench.data.annotated.image_files import image_facts
from mmbench.data.annotated.places import HOMES, find_place
from mmbench.data.annotated.split_checks import check_objects
from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit, Instance
from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.file_facts.file_cache import Reading, facts_of_files
from mmbench.data.label_maps.cityscapes import (
    IDS_END,
    IMAGE_END,
    IMAGES,
    LABELS_END,
    OFFICIAL,
    PARTS,
    TRUTH,
    cityscapes_label_maps,
)
from mmbench.data.label_maps.lossy import lossy_storage
from mmbench.data.official import PUBLISHED
from mmbench.data.types import Split
from mmbench.errors import UserError

# cityscapesscripts/helpers/labels.py: the labels with instances that are evaluated, by their ids.
LABELS = {
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
CLASSES = tuple(LABELS.values())
GROUP = 1000  # an instance has the id label * 1000 + number; a smaller id is a region of many objects
TRUTH_END = "_gtFine_instanceIds.png"
INSTANCES = replace(OFFICIAL, labels="boxes, masks", classes=len(CLASSES), metric="AP")
PUBLISHED.register("cityscapes")((INSTANCES, OFFICIAL))


@DATASETS.register("cityscapes")
def load_cityscapes(root: Path) -> Dataset:
    """Return the instances and the label maps of Cityscapes; its splits are train and val.

    Regions of many objects are crowd regions. If the files of only one of both are there, it has that one.

    Raises:
        UserError: Cityscapes is in none of the usual places.
    """
    home = find_home(root)
    finders = {part: functools.partial(_read, home, part) for part in PARTS}
    data = AnnotatedData(root.name, home, "Cityscapes", CLASSES, finders)
    instances, maps = (
        any(True for ending in endings for _ in (home / TRUTH).glob(f"*/*/*{ending}"))
        for endings in ((TRUTH_END,), (LABELS_END, IDS_END))
    )
    return Dataset(
        root.name,
        home,
        CLASSES,
        annotated=data if instances or not maps else None,
        label_maps=cityscapes_label_maps(root.name, home) if maps or not instances else None,
    )


def find_home(root: Path) -> Path:
    """Return the folder with leftImg8bit/ and gtFine/.

    Raises:
        UserError: it is in none of the usual places.
    """
    return find_place(
        root,
        list(dict.fromkeys((root.name, *HOMES["cityscapes"]))),
        lambda place: any((place / TRUTH / part).is_dir() for part in PARTS),
        f"{IMAGES}/ and {TRUTH}/ of {OFFICIAL.archives}",
    )


def _scenes(home: Path, folder: str, part: str, ending: str) -> set[str]:
    """Return CITY/NAME of the files of a part."""
    return {
        f"{path.parent.name}/{path.name.removesuffix(ending)}"
        for path in (home / folder / part).glob(f"*/*{ending}")
    }


def _read(home: Path, part: Split) -> AnnotatedSplit:
    """Return one part; what is read from its files is stored, so that it is read once.

    Raises:
        UserError: it has no annotations, or pycocotools is not installed.
    """
    scenes = sorted(_scenes(home, IMAGES, part, IMAGE_END) | _scenes(home, TRUTH, part, TRUTH_END))
    if not scenes:
        raise UserError(
            f"{home / TRUTH / part} has no files *{TRUTH_END}; unzip gtFine_trainvaltest.zip there"
        )
    findings, images = Findings(part), []
    paths = [f"{IMAGES}/{part}/{scene}{IMAGE_END}" for scene in scenes]
    truths = [f"{TRUTH}/{part}/{scene}{TRUTH_END}" for scene in scenes]
    reading = Reading("instances", _objects, "reading the objects", chunk=16)
    found = facts_of_files(home, truths, reading)
    facts = image_facts(home, paths)
    for scene, path, truth, fact, content in zip(scenes, paths, truths, facts, found, strict=True):
        if not content:
            one, many = (
                "file of instances that is missing or damaged",
                "files of instances that are missing or damaged",
            )
            findings.add(one, many, "refused", "unzip gtFine_trainvaltest.zip again", truth)
            continue
        stated = json.loads(zlib.decompress(content))
        frame = frame_of(fact, tuple(stated["size"]), [], findings, path, required=True)
        if frame is not None:
            instances = _instances(stated, frame, findings, path)
            images.append(AnnotatedImage(path, scene, frame.width, frame.height, instances, frame.apply_exif))
    check_objects(images, CLASSES, findings)
    return AnnotatedSplit(home, tuple(images), tuple(truths), findings.found())


def _instances(
    stated: Mapping[str, Any], frame: Frame, findings: Findings, path: str
) -> tuple[Instance, ...]:
    instances = []
    for label, crowd, box, area, counts in stated["objects"]:
        left, top, right, bottom = map(float, box)
        cleaned = clean((left, top, right, bottom), frame.width, frame.height, findings, path)
        if cleaned is None:
            continue
        if crowd:
            remedy = "not trained on, and detections in them count neither as right nor as wrong"
            findings.add("region of many objects", "regions of many objects", "kept", remedy, path)
        mask = {"size": [frame.height, frame.width], "counts": counts}
        instances.append(Instance(label, cleaned, float(area), bool(crowd), segmentation=mask))
    return tuple(instances)


def _objects(stream: io.FileIO, size: int) -> Mapping[str, bytes]:
    """Return the objects of one file of instance ids, as compressed JSON; nothing if damaged or lossy.

    Each is [label, crowd, [left, top, right, bottom], area in px², run lengths].
    """
    try:
        with Image.open(io.BytesIO(stream.read())) as opened:
            if lossy_storage(opened):
                return {"": b""}
            ids = np.asarray(opened).astype(np.int64)
        if ids.ndim != 2 or ids.min() < 0:
            return {"": b""}
    except Exception:  # on damaged files Pillow's decoders raise almost anything
        return {"": b""}
    height, width = ids.shape
    columns = np.asfortranarray(ids)  # run lengths go down the columns
    objects = [
        found
        for instance in np.flatnonzero(np.bincount(ids.ravel()))
        if (found := _one(columns, int(instance))) is not None
    ]
    fact = json.dumps({"size": [width, height], "objects": objects}, separators=(",", ":"))
    return {"instances": zlib.compress(fact.encode())}


def _one(ids: NDArray[np.int64], instance: int) -> list[Any] | None:
    """Return one object, None if its class is not evaluated."""
    kind = instance // GROUP if instance >= GROUP else instance
    if kind not in LABELS:
        return None
    mask = ids == instance
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    area, counts = encoded(mask)
    return [list(LABELS).index(kind), int(instance < GROUP), box, area, counts]
