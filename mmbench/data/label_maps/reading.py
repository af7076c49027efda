"""From pairs of images and mask files to a data set that is checked and used."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmbench.data.annotated.findings import Findings, refused_first
from mmbench.data.annotated.image_files import image_facts
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.label_maps.checks import MaskFactsByPath, check_labels, checked_images, recheck_labels
from mmbench.data.label_maps.coding import meaning_of
from mmbench.data.label_maps.mask_files import mask_facts
from mmbench.data.label_maps.meaning import Meaning
from mmbench.data.label_maps.types import IGNORED, Coding, LabelMaps, Part, Stated
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable


def label_map_data(
    name: str, root: Path, layout: str, parts: Mapping[Split, Part], stated: Stated
) -> AnnotatedData:
    """Return a data set of label maps.

    Unless the coding is stated, the mask files of all splits are read for it. Everything else is read when a
    split is needed.

    Args:
        root: folder that the paths of the parts are below.
        layout: how the files are arranged, in words.
        parts: the splits as the layout finds them.
        stated: what is known beforehand.

    Raises:
        UserError: it is unclear how the mask files are read; see `meaning_of`.
    """
    known: MaskFactsByPath = {}
    if stated.coding is None:
        known = mask_facts(root, (pair.label_map for part in parts.values() for pair in part.pairs))
    meaning = meaning_of(root, known, stated)
    finders = {split: functools.partial(_read, root, part, meaning, known) for split, part in parts.items()}
    return AnnotatedData(
        name, root, layout, meaning.classes, finders, meaning.remarks, label_maps=meaning.maps
    )


def _read(root: Path, part: Part, meaning: Meaning, known: MaskFactsByPath) -> AnnotatedSplit:
    findings, of_labels = Findings(part.split), Findings(part.split, of_labels=True)
    paths = [pair.image for pair in part.pairs if pair.image]
    images = dict(zip(paths, image_facts(root, paths), strict=True))
    masks = known or mask_facts(root, (pair.label_map for pair in part.pairs))
    used = checked_images(part, images, masks, findings)
    if used or not any(finding.action == "refused" for finding in findings.found()):
        check_labels(used, masks, meaning.classes, meaning.maps, of_labels)
    return AnnotatedSplit(root, used, part.files, refused_first((*findings.found(), *of_labels.found())))


def without_background(data: AnnotatedData) -> AnnotatedData:
    """Return a data set in which the background is ignored, as mmsegmentation's reduce_zero_label does.

    Label 0 becomes IGNORED and the others one less. Data whose value 0 is ignored already stay as they are.

    Raises:
        UserError: value 0 is that of a class, or fewer than two classes would be left.
    """
    maps = data.label_maps
    if maps is None:
        raise UserError(f"data set '{data.name}' has no label maps")
    if maps.background is None:
        _require_reduced(data, maps)
        return data
    if len(data.classes) < 3:
        raise UserError(
            f"data set '{data.name}' has one class beside background, so nothing is left to tell apart; "
            "set reduce_zero_label=false"
        )
    labels = {
        value: label if label == IGNORED else IGNORED if label == 0 else label - 1
        for value, label in maps.coding.labels.items()
    }
    reduced = _Reduced(data, data.classes[1:], LabelMaps(Coding(maps.coding.kind, labels), maps.palette[1:]))
    finders = {split: functools.partial(reduced.split, split) for split in data.finders}
    return replace(data, classes=reduced.classes, finders=finders, label_maps=reduced.maps, _read={})


def _require_reduced(data: AnnotatedData, maps: LabelMaps) -> None:
    zero = maps.coding.labels.get(0, IGNORED)
    if zero != IGNORED:
        raise UserError(
            f"value 0 of the label maps of '{data.name}' is the class '{printable(data.classes[zero])}', not "
            "background; set reduce_zero_label=false, or list background as the first class"
        )


@dataclass
class _Reduced:
    """The splits of a data set with other classes and label maps; one that has two names stays one."""

    data: AnnotatedData
    classes: tuple[str, ...]
    maps: LabelMaps
    _known: dict[int, AnnotatedSplit] = field(default_factory=dict)

    def split(self, name: Split) -> AnnotatedSplit:
        whole = self.data.split(name)
        if id(whole) not in self._known:
            self._known[id(whole)] = recheck_labels(whole, name, self.classes, self.maps)
        return self._known[id(whole)]
