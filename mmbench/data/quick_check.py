"""Checks of a data set that decode no image, for the start of a run and for `mmbench data check`."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from PIL import Image
from torch import Tensor

from mmbench.data.dataset import Dataset
from mmbench.data.images.image_places import openable
from mmbench.data.images.pixel_modes import changes
from mmbench.data.manifest import manifest
from mmbench.data.official import NOT_COMPARABLE
from mmbench.data.types import SPLITS, ImageFiles, Split
from mmbench.file_names import counted, listed, printable

Named = TypeVar("Named", bound=Hashable)
LOOKED_AT = 64  # images whose headers are read before a run; `mmbench data check` reads all


def quick_check(dataset: Dataset) -> list[str]:
    """Return a line for each finding about the labelled splits of `dataset`.

    These are classes without images in a split, official parts with another number of images than their
    authors publish, pixels that are changed when they are read, files that a split has under different
    labels, and files that two splits share. No image is decoded; contents are compared by the hashes that
    identify the data, of published sets by their paths.

    Raises:
        UserError: the labels cannot be read, or are out of range.
    """
    names = [split for split in SPLITS if split in dataset.splits]
    lines = []
    for split in names:
        counts = images_per_class(dataset, dataset.labels(split)).tolist()
        absent = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
        if absent:
            lines.append(f"{split} has no image of {counted(len(absent), 'class')} ({listed(absent)})")
    files = {split: dataset.files[split]() for split in names if split in dataset.files}
    lines += dict.fromkeys(line for part in files.values() for line in part.remarks)
    if dataset.expected:  # a published data set, whose splits are fixed by its archives
        listed_in = {split: {(part.root, path): path for path in part.paths} for split, part in files.items()}
        return lines + _sharing(listed_in)
    lines += size_remarks(dataset)
    for split, part in files.items():
        lines += pixel_remarks(part, split)
        lines += several_labels(part, split)
    return lines + shared_files(files)


def size_remarks(dataset: Dataset, parts: Sequence[str] = ("train", "val", "test")) -> list[str]:
    """Return a line for each official part of image files that has another number than its authors publish.

    Only a data set with all its classes is compared, and only if its manifest does not have other counts
    refused. A choice of classes is in use, and is said by the data set's remarks.

    Args:
        parts: official parts to compare; of others no file is listed.
    """
    known = manifest(dataset.name)
    if known is None or known.enforced or set(dataset.files) != set(known.splits):
        return []
    if len(dataset.classes) != known.classes:
        return []
    found: Counter[str] = Counter()
    for split, rule in known.splits.items():
        if rule.part in parts:
            found[rule.part] += len(dataset.files[split]())
    return [
        f"{part} of {known.name} has {counted(found[part], 'image')} where its authors publish {images}: "
        f"{NOT_COMPARABLE}; unless that is meant, unpack it again"
        for part, images in known.official.items()
        if part in parts and found[part] != images
    ]


def images_per_class(dataset: Dataset, labels: Tensor) -> Tensor:
    """Return how many images show each class, int64 (classes,); an image can show several."""
    if dataset.multilabel:
        return (labels == 1).sum(dim=0)
    return labels.bincount(minlength=len(dataset.classes))


def several_labels(files: ImageFiles, split: str) -> list[str]:
    """Return a line where a split has the same content under different labels, none where it has not."""
    labels = files.labels.tolist()
    first: dict[bytes, int] = {}
    other: dict[bytes, int] = {}
    for index, content in enumerate(files.contents):
        if content and labels[first.setdefault(content, index)] != labels[index]:
            other.setdefault(content, index)
    if not other:
        return []
    pairs = [f"{files.paths[first[content]]} is {files.paths[index]}" for content, index in other.items()]
    return [
        f"{split} has {counted(len(other), 'file')} under different labels ({listed(pairs)}): at most one is "
        "right"
    ]


def shared_files(parts: Mapping[Split, ImageFiles]) -> list[str]:
    """Return a line for each pair of splits that hold the same content, by whatever name or link."""
    places = {
        split: {content: path for content, path in zip(files.contents, files.paths, strict=True) if content}
        for split, files in parts.items()
    }
    return _sharing(places)


def _sharing(places: Mapping[Split, Mapping[Named, str]]) -> list[str]:
    """Return a line for each pair of splits with common keys, which the first split's paths illustrate."""
    lines = []
    for (first, ours), (second, theirs) in itertools.combinations(places.items(), 2):
        if both := ours.keys() & theirs.keys():
            example = printable(min(ours[key] for key in both))
            lines.append(
                f"{first} and {second} share {counted(len(both), 'file')} ({example}): what is "
                "learned from is measured on"
            )
    return lines


def pixel_remarks(files: ImageFiles, split: str, most: int = LOOKED_AT) -> list[str]:
    """Return a line about images whose pixels are changed when they are read; see `pixel_modes`.

    Headers of up to `most` images are read, evenly spread; files that cannot be read are not counted.
    """
    count = min(most, len(files))
    found: Counter[str] = Counter()
    for index in range(count):
        place = files.place(index * len(files) // count)
        with (
            contextlib.suppress(Exception),
            Image.open(openable(place)) as image,
        ):  # decoding says what is wrong
            found.update(changes(image))
    if not found:
        return []
    where = f"all {count} {split} images" if count == len(files) else f"{count} {split} images looked at"
    return [f"of {where}, {', '.join(f'{number} {what}' for what, number in sorted(found.items()))}"]
