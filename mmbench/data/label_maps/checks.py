"""Checks of pairs and of labels: what is missing, misplaced, unclear or never occurs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmbench.data.annotated.findings import Findings, refused_first
from mmbench.data.annotated.frames import Frame, add_ambiguous_orientation
from mmbench.data.annotated.image_files import ImageFacts
from mmbench.data.annotated.types import AnnotatedImage, AnnotatedSplit
from mmbench.data.label_maps.mask_files import MaskFacts, mask_facts
from mmbench.data.label_maps.pixels import described
from mmbench.data.label_maps.types import IGNORED, Coding, LabelMaps, Pair, Part

MaskFactsByPath = Mapping[str, MaskFacts | None]


def checked_images(
    part: Part,
    image_facts: Mapping[str, ImageFacts | None],
    mask_facts: MaskFactsByPath,
    findings: Findings,
) -> tuple[AnnotatedImage, ...]:
    """Return the images of a split that are used, and add findings about the others.

    Args:
        image_facts, mask_facts: path -> facts.
    """
    files = _Files(findings, required=part.split != "train")
    pairs = [pair for pair in _single(part.pairs, findings) if files.usable(pair, image_facts, mask_facts)]
    as_stored = _all_as_stored(pairs, image_facts, mask_facts)
    images = []
    for pair in pairs:
        image, mask = image_facts[pair.image], mask_facts[pair.label_map]
        if image is None or mask is None:
            continue
        frame = _frame(image, mask.size, findings, pair.image, as_stored=as_stored)
        if frame is not None:
            if mask.transparency:
                one, many = "label map with transparency", "label maps with transparency"
                findings.add(one, many, "converted", "the colours beneath it are read", pair.label_map)
            size = frame.width, frame.height
            images.append(
                AnnotatedImage(pair.image, pair.name, *size, (), frame.apply_exif, label_map=pair.label_map)
            )
    return tuple(images)


def _single(pairs: Sequence[Pair], findings: Findings) -> list[Pair]:
    """Return the pairs whose image and label map are in no other pair."""
    images, masks = Counter(pair.image for pair in pairs), Counter(pair.label_map for pair in pairs)
    kept = []
    for pair in pairs:
        if pair.label_map and masks[pair.label_map] > 1:
            one, many = "image that shares its label map with another", "images that share their label maps"
            findings.add(one, many, "refused", "remove all but one image of a name", pair.image)
        elif pair.image and images[pair.image] > 1:
            one, many = "label map of an image that has several", "label maps of images that have several"
            findings.add(one, many, "refused", "remove all but one label map of a name", pair.label_map)
        else:
            kept.append(pair)
    return kept


@dataclass(frozen=True)
class _Files:
    """Whether the files of pairs are there and can be read.

    Attributes:
        required: whether missing and damaged files are refused instead of dropped.
    """

    findings: Findings
    required: bool

    def usable(self, pair: Pair, images: Mapping[str, ImageFacts | None], masks: MaskFactsByPath) -> bool:
        """Return whether a pair can be used, and add a finding if not."""
        image, mask = images.get(pair.image), masks.get(pair.label_map)
        if mask is not None and mask.unclear:
            one = f"label map that is {mask.unclear}"
            many = f"label maps that are each {mask.unclear}"
            self.findings.add(one, many, "refused", "save labels as grey or palette PNG", pair.label_map)
            return False
        if image is None:
            self._missing("label map without an image", "label maps without images", pair.label_map)
        elif mask is None:
            self._missing("image without a label map", "images without label maps", pair.image)
        elif image.problem:
            self._damaged("image", pair.image, image.problem)
        elif mask.problem:
            self._damaged("label map", pair.label_map, mask.problem)
        else:
            return True
        return False

    def _missing(self, one: str, many: str, place: str) -> None:
        self._add(one, many, "add what is missing, or remove the other file", place)

    def _damaged(self, what: str, path: str, problem: str) -> None:
        one, many = f"{what} that cannot be decoded", f"{what}s that cannot be decoded"
        self._add(one, many, "put the files back, or remove them", f"{path}: {problem}")

    def _add(self, one: str, many: str, remedy: str, place: str) -> None:
        if self.required:
            self.findings.add(one, many, "refused", remedy, place)
        else:
            self.findings.add(one, many, "dropped", "not trained on", place)


def _all_as_stored(
    pairs: Sequence[Pair], images: Mapping[str, ImageFacts | None], masks: MaskFactsByPath
) -> bool:
    """Return whether each label map whose size tells fits its image as stored, without EXIF orientation."""
    fits = [
        mask.size == image.stored
        for pair in pairs
        if (image := images[pair.image]) is not None
        and (mask := masks[pair.label_map]) is not None
        and image.stored != image.displayed
        and mask.size in (image.stored, image.displayed)
    ]
    return bool(fits) and all(fits)


def _frame(
    image: ImageFacts, size: tuple[int, int], findings: Findings, place: str, *, as_stored: bool
) -> Frame | None:
    """Return the frame of an image that its label map has, None if it is of another size."""
    displayed, stored = Frame(*image.displayed), Frame(*image.stored, apply_exif=False)
    if image.orientation != 1 and size == image.stored and (size != image.displayed or as_stored):
        findings.add(
            "image whose label map is as stored, without its EXIF orientation",
            "images whose label maps are as stored, without their EXIF orientation",
            "converted",
            "the orientation is not applied",
            place,
        )
        return stored
    if size == image.displayed:
        if image.orientation != 1 and image.displayed == image.stored:
            add_ambiguous_orientation(findings, place)
        return displayed
    turned = size == image.displayed[::-1]
    one, many = (
        ("label map with width and height exchanged", "label maps with width and height exchanged")
        if turned
        else ("label map of another size than its image", "label maps of another size than their images")
    )
    remedy = "turn" if turned else "write"
    sizes = f"{place}: label map {_by(size)}, image {_by(image.displayed)}"
    findings.add(one, many, "refused", f"{remedy} them as the images are", sizes)
    return None


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def check_labels(
    images: Sequence[AnnotatedImage],
    facts: MaskFactsByPath,
    classes: Sequence[str],
    maps: LabelMaps,
    findings: Findings,
) -> None:
    """Add findings about labels: unknown values, images and classes without any, splits without any.

    Args:
        images: of the split, as they are used.
        facts: path of a label map -> facts.
        classes: in the order of labels.
    """
    totals = np.zeros(IGNORED + 1, np.int64)
    for image in images:
        fact = facts.get(image.label_map or "")
        if fact is None or not fact.usable:
            continue
        counts, unknown = label_counts(fact, maps.coding)
        totals += counts
        place = image.label_map or ""
        if unknown is not None:
            what = "values" if maps.coding.kind == "values" else "colours"
            one = f"label map with {what} that are not those of a class"
            many = f"label maps with {what} that are not those of a class"
            remedy = f"there are {len(classes)} classes; fix the files, or list all classes"
            findings.add(one, many, "refused", remedy, f"{place}: {described(unknown, maps.coding)}")
        elif not counts[: len(classes)].any():
            one, many = "image that is ignored everywhere", "images that are ignored everywhere"
            findings.add(one, many, "kept", "no pixel of them counts", place)
        elif maps.background is not None and not np.delete(counts[: len(classes)], maps.background).any():
            one, many = "image with nothing but background", "images with nothing but background"
            findings.add(one, many, "kept", "", place)
    _check_totals(totals[: len(classes)], classes, maps.background, findings)


def recheck_labels(
    split: AnnotatedSplit, name: str, classes: Sequence[str], maps: LabelMaps, *, alone: bool = False
) -> AnnotatedSplit:
    """Return a split whose findings about labels are those of its images, by the given label maps.

    Args:
        name: of the split, for the findings.
        alone: whether its other findings are left out.
    """
    findings = Findings(name, of_labels=True)
    facts = mask_facts(split.root, (image.label_map or "" for image in split.images))
    check_labels(split.images, facts, classes, maps, findings)
    others = () if alone else tuple(finding for finding in split.findings if not finding.of_labels)
    return replace(split, findings=refused_first((*others, *findings.found())))


def label_totals(split: AnnotatedSplit, coding: Coding) -> NDArray[np.int64]:
    """Return the pixels of a split per label, (256,)."""
    facts = mask_facts(split.root, (image.label_map or "" for image in split.images))
    usable = [fact for fact in facts.values() if fact is not None and fact.usable]
    zero = np.zeros(IGNORED + 1, np.int64)
    return sum((label_counts(fact, coding)[0] for fact in usable), zero)


def _check_totals(
    totals: NDArray[np.int64], classes: Sequence[str], background: int | None, findings: Findings
) -> None:
    things = [label for label in range(len(classes)) if label != background]
    if not totals[things].any():
        split = findings.split
        findings.add("split without a pixel of a class", "", "refused", "nothing can be measured", split)
        return
    for label, name in enumerate(classes):
        if not totals[label]:
            one, many = "class without a pixel", "classes without a pixel"
            findings.add(one, many, "kept", "", name)


def label_counts(fact: MaskFacts, coding: Coding) -> tuple[NDArray[np.int64], int | None]:
    """Return pixels per label (256,), and the first value or colour that is not that of a class."""
    labels, elements = fact.labels(coding)
    counts = np.zeros(IGNORED + 1, np.int64)
    np.add.at(counts, labels[labels >= 0], fact.counts[labels >= 0])
    unknown = elements[labels < 0]
    return counts, int(unknown[0]) if len(unknown) else None
