"""The frame that the boxes of an image refer to: its size, and whether EXIF orientation is applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.image_files import ImageFacts
from mmbench.data.annotated.types import Box

SLACK = 1.0  # px that a box may lie outside an image and still count as inside


@dataclass(frozen=True, slots=True)
class Frame:
    """Width and height in pixels, and whether they are those of the image as displayed."""

    width: int
    height: int
    apply_exif: bool = True


def frame_of(
    facts: ImageFacts | None,
    stated: tuple[int, int] | None,
    boxes: Sequence[Box],
    findings: Findings,
    place: str,
    *,
    required: bool,
) -> Frame | None:
    """Return the frame of one image, None if the image is not used.

    Args:
        facts: about its file; None if there is no such file.
        stated: width and height in the annotations; None if they do not state it.
        boxes: as the annotations state them: left, top, right, bottom.
        findings: what was done is added here.
        place: the name of the image.
        required: whether a missing or damaged image is refused instead of dropped.
    """
    if facts is None or facts.problem:
        _unusable(facts, findings, place, required)
        return None
    displayed = Frame(*facts.displayed)
    if facts.orientation == 1 and stated in (facts.stored, None):
        return displayed
    if facts.orientation != 1 and stated in (facts.displayed, facts.stored, None):
        return _turned(facts, stated, boxes, findings, place)
    swapped = stated is not None and stated[::-1] == facts.displayed
    if swapped and _inside(boxes, displayed):
        findings.add(
            "image with width and height exchanged in the annotations",
            "images with width and height exchanged in the annotations",
            "converted",
            "the size of the file is used",
            place,
        )
        return displayed
    findings.add(
        "image of another size than its annotations state",
        "images of another size than their annotations state",
        "refused",
        "boxes would be misplaced; use the images that were annotated, or scale the boxes",
        f"{place}: {_by(stated or (0, 0))} stated, {_by(facts.displayed)} found",
    )
    return None


def _unusable(facts: ImageFacts | None, findings: Findings, place: str, required: bool) -> None:
    if facts is None:
        one, many = "image that is missing", "images that are missing"
    else:
        one, many = "image that cannot be decoded", "images that cannot be decoded"
        place = f"{place}: {facts.problem}"
    if required:
        remedy = "put the files back, or remove them from the annotations"
        findings.add(one, many, "refused", remedy, place)
    else:
        findings.add(one, many, "dropped", "not trained on", place)


def _turned(
    facts: ImageFacts, stated: tuple[int, int] | None, boxes: Sequence[Box], findings: Findings, place: str
) -> Frame:
    """Return the frame of an image with an EXIF orientation, whose stated size is one of its two sizes."""
    displayed, stored = Frame(*facts.displayed), Frame(*facts.stored, apply_exif=False)
    if facts.displayed != facts.stored and (
        stated == facts.stored
        or (stated is None and not _inside(boxes, displayed) and _inside(boxes, stored))
    ):
        findings.add(
            "image annotated as stored, without its EXIF orientation",
            "images annotated as stored, without their EXIF orientation",
            "converted",
            "the orientation is not applied",
            place,
        )
        return stored
    if facts.displayed == facts.stored:
        add_ambiguous_orientation(findings, place)
    return displayed


def add_ambiguous_orientation(findings: Findings, place: str) -> None:
    """Add the finding about an image whose size does not say whether its orientation is applied."""
    findings.add(
        "image with an EXIF orientation that does not change its size",
        "images with an EXIF orientation that does not change their size",
        "kept",
        "read as displayed, with the orientation applied",
        place,
    )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _inside(boxes: Sequence[Box], frame: Frame) -> bool:
    return all(
        left >= -SLACK and top >= -SLACK and right <= frame.width + SLACK and bottom <= frame.height + SLACK
        for left, top, right, bottom in boxes
    )
