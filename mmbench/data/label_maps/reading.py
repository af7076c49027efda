"""From pairs of images and mask files to a data set that is checked and used."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.image_files import image_facts
from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit
from mmbench.data.label_maps.types import IGNORED, Coding, LabelMaps, Part, Stated
from mmbench.data.types import Split


def label_map_data(
    name: str, root: Path, layout: str, parts: Mapping[Split, Part], stated: Stated
) -> AnnotatedData:
    """Return a data set of label maps; no file is opened before a split is needed.

    Args:
        root: folder that the paths of the parts are below.
        layout: how the files are arranged, in words.
        parts: the splits as the layout finds them.
        stated: what is known beforehand.
    """
    classes = tuple(stated.classes or ())
    if stated.background is not None and stated.background not in classes:
        classes = (stated.background, *classes)
    labels = {index: index for index in range(len(classes))} | {IGNORED: IGNORED}
    palette = stated.palette or tuple(
        (37 * index % 256, 91 * index % 256, 173 * index % 256) for index in labels
    )
    maps = LabelMaps(
        stated.coding or Coding("values", labels), palette[: len(classes)], 0 if stated.background else None
    )
    finders = {split: functools.partial(_read, root, part) for split, part in parts.items()}
    return AnnotatedData(name, root, layout, classes, finders, label_maps=maps)


def _read(root: Path, part: Part) -> AnnotatedSplit:
    findings, images = Findings(part.split), []
    facts = image_facts(root, [pair.image for pair in part.pairs])
    for pair, fact in zip(part.pairs, facts, strict=True):
        if fact is None or fact.problem or not pair.label_map:
            findings.add("image that cannot be used", "images that cannot be used", "refused", "", pair.image)
            continue
        images.append(AnnotatedImage(pair.image, pair.name, *fact.displayed, label_map=pair.label_map))
    return AnnotatedSplit(root, tuple(images), part.files, findings.found())
