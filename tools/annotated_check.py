"""What `mmbench data check` says of annotated images: facts per split, and the findings of their reader."""

from __future__ import annotations

import statistics
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from mmbench.data.annotated.findings import Finding
from mmbench.data.annotated.shared import equal_images
from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit, Instance
from mmbench.data.label_maps.checks import label_totals
from mmbench.data.label_maps.types import IGNORED
from mmbench.data.types import SPLITS, Split
from mmbench.file_names import counted, printable

EXAMPLES = 5  # of each finding
MOST_SHARES = 24  # classes whose share of pixels is said


def check_annotated(data: AnnotatedData) -> tuple[list[str], list[str]]:
    """Return (facts, problems) of images with objects or label maps.

    Problems are the findings that are refused in a run.

    Raises:
        UserError: files that cannot be read at all.
    """
    facts, problems = list(data.remarks), list[str]()
    for names, split in distinct_splits(data):
        facts.append(f"{' and '.join(names)}: {_split_facts(split, data)}")
        for finding in split.findings:
            (problems if finding.action == "refused" else facts).append(finding_line(finding))
    for finding in equal_images(data):
        (problems if finding.action == "refused" else facts).append(finding_line(finding))
    return facts, problems


def distinct_splits(data: AnnotatedData) -> list[tuple[list[Split], AnnotatedSplit]]:
    """Return the splits, each with its names: one part of the data may be both val and test."""
    found: list[tuple[list[Split], AnnotatedSplit]] = []
    for name in SPLITS:
        if name in data.finders:
            split = data.split(name)
            same = next((names for names, other in found if other is split), None)
            if same is None:
                found.append(([name], split))
            else:
                same.append(name)
    return found


def finding_line(finding: Finding) -> str:
    """Return one line for a person, with the first five places."""
    return finding.line(EXAMPLES, mark=":")


def _split_facts(split: AnnotatedSplit, data: AnnotatedData) -> str:
    classes = data.classes
    things = [thing for image in split.images for thing in image.instances]
    counts = Counter(thing.label for thing in things)
    parts = [counted(len(split.images), "image") + _sizes(split.images)]
    if data.label_maps is not None:
        parts.append(_shares(label_totals(split, data.label_maps.coding), classes))
    elif things:
        numbers = [counts[label] for label in range(len(classes))]
        span = str(numbers[0]) if len(set(numbers)) == 1 else f"{min(numbers)} to {max(numbers)}"
        parts.append(
            f"{counted(len(things), 'object')} of {counted(len(classes), 'class')}, {span} per class"
        )
        parts += _kinds(things)
        if data.keypoints and not any(map(_has_labelled_keypoint, things)):
            parts.append("none with labelled keypoints, so detector=keypoint refuses this split")
        parts.append(_object_sizes(things))
    else:
        parts.append("no objects")
    return "; ".join(parts)


def _sizes(images: tuple[AnnotatedImage, ...]) -> str:
    if not images:
        return ""
    sides = [min(image.width, image.height) for image in images]
    if min(sides) == max(sides):
        return f" of {sides[0]} px (short side)"
    return f" of {min(sides)} to {max(sides)} px (short sides; median {statistics.median_low(sides)})"


def _shares(totals: NDArray[np.int64], classes: tuple[str, ...]) -> str:
    """Return the share of pixels per class, of those that count, and of ignored ones."""
    labelled = int(totals[: len(classes)].sum())
    if not labelled:
        return "no pixel of a class"
    shares = {name: totals[label] / labelled for label, name in enumerate(classes)}
    names = list(shares)
    if len(names) > MOST_SHARES:
        names = sorted(names, key=lambda name: -shares[name])
        names = [*names[: MOST_SHARES // 2], "...", *names[-MOST_SHARES // 2 :]]
    shown = [name if name == "..." else f"{printable(name)} {shares[name]:.2%}" for name in names]
    ignored = totals[IGNORED] / (labelled + totals[IGNORED])
    return f"{counted(len(classes), 'class')}: {', '.join(shown)}; {ignored:.2%} of the pixels ignored"


def _kinds(things: list[Instance]) -> list[str]:
    kinds = {
        "with masks": sum(thing.segmentation is not None for thing in things),
        "with labelled keypoints": sum(map(_has_labelled_keypoint, things)),
        "crowd": sum(thing.crowd for thing in things),
        "difficult": sum(thing.difficult for thing in things),
    }
    return [f"{number} {kind}" for kind, number in kinds.items() if number]


def _has_labelled_keypoint(thing: Instance) -> bool:
    return any((thing.keypoints or ())[2::3])


def _object_sizes(things: list[Instance]) -> str:
    """Return the number of small, medium and large objects, by COCO's limits of 32² and 96² px²."""
    sizes = Counter(
        "small" if thing.area < 32**2 else "medium" if thing.area < 96**2 else "large" for thing in things
    )
    shown = ", ".join(f"{sizes[size]} {size}" for size in ("small", "medium", "large"))
    return f"{shown} (below 32² px, below 96² px, larger)"
