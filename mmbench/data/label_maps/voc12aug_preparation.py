"""`mmbench data prepare voc12aug`: SBD's .mat files become PNG files, and the lists are written."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from mmbench.data.dataset import PREPARERS
from mmbench.data.label_maps.lossy import lossy_storage
from mmbench.data.label_maps.palettes import voc_palette
from mmbench.data.label_maps.sbd import ARCHIVE, MASKS, find_sbd, read_sbd, sbd_names
from mmbench.data.label_maps.voc12aug import (
    ADDED_LIST,
    ADDED_MASKS,
    IMAGES,
    LISTS,
    NAME,
    OWN_MASKS,
    TRAIN_LIST,
    VOC_ARCHIVE,
    find_home,
    label_map_of,
    stems,
    training_images,
)
from mmbench.data.label_maps.writing import MaskFile, write_masks
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.files import write_text
from mmbench.progress import Report

BYTES_EACH = 8_000  # of a mask file, with room


@PREPARERS.register(NAME)
def prepare(root: Path, *, force: bool, report: Report | None) -> str:
    """Write SegmentationClassAug/, aug.txt and trainaug.txt of VOC2012; return one line about what was done.

    SegmentationClassAug gets a mask for each image of trainaug: VOC's own where it has one, else SBD's. The
    lists are those of mmsegmentation's tool, and are written last. Without SBD the files of another tool are
    enough, if all are there.

    Args:
        root: the folder of the data set.
        force: replace masks and lists that are there.
        report: called with (done, total, words).

    Raises:
        UserError: VOC2012 or SBD is missing or incomplete, or something else is in the way.
    """
    home = find_home(root)
    own, val = stems(home, "train.txt"), stems(home, "val.txt")
    sbd = find_sbd(dict.fromkeys((root, home.parent, home.parent.parent, root.parent)))
    if sbd is None:
        train, _ = training_images(home, own)
        _require_files(home, [label_map_of(name, {*own, *val}) for name in train], ARCHIVE)
        return f"{NAME} is ready in {home}: {len(train)} images to train on, {len(val)} to evaluate"
    train = tuple(sorted((sbd_names(sbd) | set(own)) - set(val)))
    _require_files(home, [f"{IMAGES}/{name}.jpg" for name in train], VOC_ARCHIVE)
    _require_files(home, [f"{OWN_MASKS}/{name}.png" for name in own], VOC_ARCHIVE)
    lists = {ADDED_LIST: [name for name in train if name not in set(own)], TRAIN_LIST: train}
    for listing, names in lists.items():
        _require_same(home, listing, names, force)
    masks = [
        MaskFile(
            home / ADDED_MASKS / f"{name}.png",
            functools.partial(_own, home / OWN_MASKS / f"{name}.png")
            if name in set(own)
            else functools.partial(_added, sbd / MASKS / f"{name}.mat"),
        )
        for name in train
    ]
    written, kept = write_masks(masks, force=force, report=report, bytes_each=BYTES_EACH)
    for listing, names in lists.items():
        if force or not (home / LISTS / listing).is_file():
            write_text(home / LISTS / listing, "".join(f"{name}\n" for name in names))
    return (
        f"{NAME} is ready in {home}: {len(train)} images to train on, of which {len(lists[ADDED_LIST])} are "
        f"SBD's, {len(val)} to evaluate; {written} masks written, {kept} were there"
    )


def _require_files(home: Path, paths: Sequence[str], archive: str) -> None:
    """Check that all files are there.

    Raises:
        UserError: some are not; the message counts them.
    """
    folders = {path.rpartition("/")[0] for path in paths}
    there = {f"{folder}/{path.name}" for folder in folders for path in (home / folder).glob("*")}
    if missing := [path for path in paths if path not in there]:
        raise UserError(
            f"{len(missing)} of {len(paths)} files are missing in {printable(home)}, such as "
            f"{printable(missing[0])}; unpack {archive} again"
        )


def _require_same(home: Path, listing: str, names: Sequence[str], force: bool) -> None:
    """Check that a list that is there holds these names.

    Raises:
        UserError: it holds others.
    """
    path = home / LISTS / listing
    if force or not path.is_file():
        return
    there = set(stems(home, listing))
    if there != set(names):
        raise UserError(
            f"{printable(path)} lists {len(there)} images, and VOC's train and SBD without VOC's val give "
            f"{len(names)} that are not the same; move it, or replace it by --force"
        )


def _own(path: Path) -> Image.Image:
    """Return one of VOC's own masks.

    Raises:
        UserError: it is damaged, or stored with loss.
    """
    try:
        with Image.open(path) as image:
            if lossy := lossy_storage(image):
                raise OSError(f"it is {lossy}")
            return image.copy()
    except Exception as error:  # on damaged files Pillow's decoders raise almost anything
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{printable(path)} is damaged ({reason}); unpack {VOC_ARCHIVE} again") from None


def _added(path: Path) -> Image.Image:
    """Return a mask of SBD, with VOC's colours."""
    image = Image.fromarray(read_sbd(path))
    image.putpalette(list(itertools.chain(*voc_palette())))
    return image
