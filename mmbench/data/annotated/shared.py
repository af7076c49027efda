"""Equal images, by content: shared by train and the evaluated split, or repeated within a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmbench.data.annotated.findings import Finding, Findings
from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit
from mmbench.data.file_facts.content_hashes import UNREADABLE
from mmbench.data.types import Split


def train_and_evaluated(data: AnnotatedData, evaluated: Split) -> tuple[AnnotatedSplit, AnnotatedSplit]:
    """Return train and the evaluated split as a run uses them: no image of train is evaluated.

    Args:
        data: the data set.
        evaluated: the split of the protocol; if it is "train", nothing is removed.

    Raises:
        UserError: there is no such split, or its files cannot be read at all.
    """
    train, other = data.split("train"), data.split(evaluated)
    if other is train:
        both = _extended(train, train.images, _repeats("train", train))
        return both, both
    kept, shared = _unshared(train, other, evaluated)
    return (
        _extended(train, kept, _repeats("train", train), shared),
        _extended(other, other.images, _repeats(evaluated, other)),
    )


def equal_images(data: AnnotatedData) -> tuple[Finding, ...]:
    """Return the findings about equal images that runs on any split of the data set have.

    Raises:
        UserError: the files of a split cannot be read at all.
    """
    found, seen = list[Finding](), list[AnnotatedSplit]()
    for name in data.finders:
        split = data.split(name)
        if any(split is other for other in seen):  # one part of the data may be both val and test
            continue
        seen.append(split)
        found += _repeats(name, split).found()
        if name != "train" and "train" in data.finders and split is not data.split("train"):
            found += _unshared(data.split("train"), split, name)[1].found()
    return tuple(found)


def _unshared(
    train: AnnotatedSplit, other: AnnotatedSplit, name: str
) -> tuple[list[AnnotatedImage], Findings]:
    """Return the images of train that are not in the split called `name`, and findings about the others."""
    known = set(other.contents) - {UNREADABLE}
    findings, kept = Findings("train"), list[AnnotatedImage]()
    for image, content in zip(train.images, train.contents, strict=True):
        if content in known:
            one, many = f"image that is in {name} too", f"images that are in {name} too"
            findings.add(one, many, "dropped", "not trained on", image.path)
        else:
            kept.append(image)
    if train.images and not any(image.annotated for image in kept):
        remedy = "use other images for training"
        findings.add(f"split whose annotated images are all in {name}", "", "refused", remedy, "train")
    return kept, findings


def _repeats(name: str, split: AnnotatedSplit) -> Findings:
    """Return a finding about images whose content another image of the split has too."""
    findings, seen = Findings(name), {UNREADABLE}
    for image, content in zip(split.images, split.contents, strict=True):
        if content in seen and content != UNREADABLE:
            one, many = "image that equals another one of the split", "images that equal others of the split"
            findings.add(one, many, "kept", "", image.path)
        seen.add(content)
    return findings


def _extended(split: AnnotatedSplit, images: Sequence[AnnotatedImage], *findings: Findings) -> AnnotatedSplit:
    more = [finding for group in findings for finding in group.found()]
    return replace(split, images=tuple(images), findings=(*split.findings, *more))
