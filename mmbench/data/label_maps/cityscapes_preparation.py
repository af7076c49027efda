"""`mmbench data prepare cityscapes`: files of the 19 labels that are trained on, from those of all ids."""

from __future__ import annotations

import functools
from pathlib import Path

from PIL import Image

from mmbench.data.annotated.cityscapes import find_home
from mmbench.data.dataset import PREPARERS
from mmbench.data.label_maps.cityscapes import (
    IDS_CODING,
    IDS_END,
    IMAGE_END,
    IMAGES,
    LABELS_END,
    OFFICIAL,
    TRUTH,
    scenes_below,
)
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.writing import MaskFile, write_masks
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.progress import Report

BYTES_EACH = 40_000  # of a mask file, with room


@PREPARERS.register("cityscapes")
def prepare(root: Path, *, force: bool, report: Report | None) -> str:
    """Write *_gtFine_labelTrainIds.png for each *_gtFine_labelIds.png; return one line about what was done.

    Args:
        root: the folder of the data set.
        force: replace those that are there.
        report: called with (done, total, words).

    Raises:
        UserError: Cityscapes is not there; images without annotations; a file that holds something else.
    """
    home = find_home(root)
    images, ids = scenes_below(home, IMAGES, IMAGE_END), scenes_below(home, TRUTH, IDS_END)
    labels = scenes_below(home, TRUTH, LABELS_END)
    if missing := sorted(images - ids - labels):
        raise UserError(
            f"{len(missing)} of {len(images)} images in {printable(home)} have no *{IDS_END}, such as "
            f"{printable(missing[0])}; unpack {OFFICIAL.archives} again"
        )
    masks = [
        MaskFile(
            home / TRUTH / f"{scene}{LABELS_END}",
            functools.partial(_drawn, home / TRUTH / f"{scene}{IDS_END}"),
        )
        for scene in sorted(ids)
    ]
    written, kept = write_masks(masks, force=force, report=report, bytes_each=BYTES_EACH)
    return (
        f"cityscapes is ready in {home}: {len(images)} images; {written} *{LABELS_END} written, "
        f"{kept + len(labels - ids)} were there"
    )


def _drawn(path: Path) -> Image.Image:
    return Image.fromarray(read_labels(path, IDS_CODING))
