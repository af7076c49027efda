"""A user's folder of images with label maps: which belong together, and which split they are of.

img_dir/train/1.jpg, ann_dir/train/1.png                          mmsegmentation's layout
JPEGImages/1.jpg, SegmentationClass/1.png, ImageSets/Segmentation VOC's
images/train/1.jpg, masks/train/1.png                             plain; also labels, annotations, gt, ...
train/images/1.jpg, train/masks/1.png                             as exporters write it
train/1.jpg, train_labels/1.png; train/1.jpg, train/1_mask.png
images/1.jpg, masks/1.png                                         without splits, or with lists
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.label_maps.own_files import File, divided, look_like_label_maps
from mmbench.data.label_maps.own_splits import Matched, divide, match
from mmbench.data.label_maps.own_words import MMSEG, Style, style_of
from mmbench.data.label_maps.types import Pair
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable

LARGER = "segmentationclassaug"  # VOC's label maps with those of SBD


@dataclass(frozen=True)
class LabelMapFolder:
    """A folder of images with label maps.

    Attributes:
        parts: name of a split -> its pairs.
        meanings: name of a split -> the split that it means.
        lists: name of a split -> the list that it was read from, below the root.
        folders: the first folders of images and label maps, where their names say so: they are no classes.
        remarks: what was decided, one line each.
    """

    root: Path
    style: Style
    parts: Mapping[str, tuple[Pair, ...]]
    meanings: Mapping[str, Split]
    lists: Mapping[str, str]
    folders: frozenset[str]
    remarks: tuple[str, ...]


def find_label_maps(
    root: Path, files: Sequence[File], style: Style, *, stated: bool = False
) -> LabelMapFolder | None:
    """Return a folder of label maps in one of the layouts; None if it is not in that one.

    Args:
        files: those of the folder.
        stated: whether the user states the layout. If not, files must have few colours where their folders
            do not say that they are label maps and images.

    Raises:
        UserError: label maps that cannot be paired with images, or in more than one way; lists or folders
            that contradict each other.
    """
    every = files
    if any(file.known and file.kind == "label maps" for file in files):  # others lie in copies further down
        files = [file for file in files if file.known or file.kind is None]
    maps = [file for file in files if file.kind == "label maps" and style_of(file.word) == style]
    rest = [file for file in files if file.kind in ("images", None)]
    if maps:
        own = [file for file in rest if file.kind != "images" or (file.word in MMSEG) == (style == "mmseg")]
        images = _images(own, known=maps[0].known) or _images(rest, known=maps[0].known)
    elif style == "masks":
        images, maps = divided(rest)
    if not maps or not images:
        return None
    clear = images[0].kind == "images" and maps[0].kind == "label maps"
    matched = _chosen(root, images, maps, required=clear or stated)
    if matched is None:
        return None
    paths = [file.path for file in matched.label_maps]
    if not clear and not stated and not look_like_label_maps(root, paths):
        return None
    parts = divide(root, matched)
    used = (*matched.images, *matched.label_maps)
    folders = frozenset(file.path.partition("/")[0] for file in used if maps[0].kind == "label maps")
    taken = {file.path for file in (*images, *maps)}
    left_out = [file.path for file in every if file.path not in taken]
    remarks = [matched.naming.line()]
    if left_out:
        remarks.append(
            f"{counted(len(left_out), 'image file')} in other places left out ({listed(left_out)})"
        )
    return LabelMapFolder(
        root,
        style,
        parts.pairs,
        parts.meanings,
        parts.lists,
        folders,
        (*filter(None, remarks), *parts.remarks),
    )


def _images(files: Sequence[File], *, known: bool) -> list[File]:
    """Return the files that are images: in folders named so, or else those in splits, or else any."""
    choices = (
        [file for file in files if file.kind == "images" and (file.known or not known)],
        [file for file in files if file.kind is None and file.known],
        [file for file in files if file.kind is None],
    )
    return next(filter(None, choices), [])


def _chosen(
    root: Path, images: Sequence[File], label_maps: Sequence[File], *, required: bool
) -> Matched | None:
    """Return images with the label maps of one kind of folder.

    Raises:
        UserError: `required`, and no names fit; two kinds of folders fit, or several files per image.
    """
    by_word: dict[str, list[File]] = {}
    for file in label_maps:
        by_word.setdefault(file.word, []).append(file)
    found = {word: matched for word, maps in by_word.items() if (matched := match(root, images, maps))}
    if len(found) > 1 and LARGER in found:
        return found[LARGER]
    if len(found) > 1:
        first, second = (matched.label_maps[0].path for matched in list(found.values())[:2])
        raise UserError(
            f"{printable(root)} has label maps in two folders ({listed([first, second])}); keep one of them"
        )
    if not found and required:
        raise UserError(
            f"label maps in {printable(root)} have other names than images "
            f"({listed([label_maps[0].path])} and {listed([images[0].path])}); give both the same names"
        )
    return next(iter(found.values()), None)
