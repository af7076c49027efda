"""Words in the names of a user's folders and files: images, label maps, splits, and neither."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from mmbench.data.folder.classes import IMAGES
from mmbench.data.folder.split_names import WORDS, splits_among
from mmbench.file_names import IMAGE_ENDINGS

Kind = Literal["images", "label maps", "neither"]
Style = Literal["mmseg", "voc", "masks"]

LABEL_MAP_ENDINGS = (*IMAGE_ENDINGS, ".gif")
# Names of folders without case and without what is not a letter or a digit.
MMSEG = {"imgdir": "images", "anndir": "label maps"}
VOC = frozenset({f"segmentationclass{end}" for end in ("", "aug", "png", "raw", "raw8")})
LABEL_MAPS = frozenset(
    {
        *("masks", "mask", "labels", "label", "labelmaps", "labelmap", "labelimages", "labelids"),
        *("annotations", "annotation", "annots", "annot", "anns", "ann", "segmentations", "segmentation"),
        *("segs", "seg", "segmentationmasks", "segmasks", "semantic", "gt", "gts", "groundtruth"),
        *("groundtruths", "gtfine", "gtcoarse", "trainids", "labeltrainids", "targets", "target"),
    }
)
IMAGE_FOLDERS = frozenset({*IMAGES, "pngimages", "leftimg8bit", "rgb", "sat", "frames", "photo", "origin"})
# What is drawn from label maps, or says something else of the pixels.
NEITHER = re.compile(
    r"(segmentation(class)?|gt)?(objects?|instances?|panoptic|visuali[sz]ations?|viz|vis|overlays?|colou?rs?|"
    r"previews?|thumbnails?|thumbs|depth)(maps?|masks?|pngs?|train|val|test|\d|$)"
)
_SPLIT_WORDS = sorted(WORDS, key=len, reverse=True)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the name of a folder says.

    Attributes:
        kind: of the files below it; None where it does not say.
        word: that says so, without case and marks.
        split: name of the split, such as "train2017"; "" where none is named.
    """

    kind: Kind | None = None
    word: str = ""
    split: str = ""


def meaning(name: str) -> Meaning:
    """Return what the name of a folder says.

    >>> meaning("SegmentationClass").kind, meaning("train_labels").split, meaning("Rome").kind
    ('label maps', 'train', None)
    """
    bare = re.sub(r"[\W_]+", "", name.casefold())
    kind = _kind(bare)
    if kind is not None:
        return Meaning(kind, bare)
    for word in _SPLIT_WORDS:
        rests = [bare[len(word) :]] if bare.startswith(word) else []
        rests += [bare[: -len(word)]] if bare.endswith(word) else []
        for rest in rests:
            if (kind := _kind(rest.strip("0123456789"))) is not None:
                return Meaning(kind, rest, word)
    return Meaning(split=name if splits_among([name]) else "")


def _kind(bare: str) -> Kind | None:
    if bare in MMSEG:
        return "images" if MMSEG[bare] == "images" else "label maps"
    if bare in LABEL_MAPS or bare in VOC:
        return "label maps"
    if bare in IMAGE_FOLDERS:
        return "images"
    return "neither" if NEITHER.match(bare) else None


def style_of(word: str) -> Style:
    """Return the layout that a folder of label maps belongs to, by its word."""
    if word in VOC:
        return "voc"
    return "mmseg" if word in MMSEG else "masks"


def is_label_map_name(path: str) -> bool:
    """Return whether a file may be a label map by its ending."""
    return PurePosixPath(path).suffix.lower() in LABEL_MAP_ENDINGS
