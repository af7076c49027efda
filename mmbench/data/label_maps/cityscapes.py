"""Label maps of Cityscapes (Cordts et al. 2016): the 19 classes that are trained on.

Files called *_gtFine_labelTrainIds.png hold the labels, and 255 for pixels that do not count. The archive has
only *_gtFine_labelIds.png, with all 34 ids; they are read where the former are not all there, with the same
meaning. `mmbench data prepare cityscapes` makes the former of the latter.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.published import published_data
from mmbench.data.label_maps.types import IGNORED, Coding, Colour, Pair, Part, Stated
from mmbench.data.official import Official
from mmbench.data.types import Split

IDS = range(34)  # of the labels in *_labelIds.png
# cityscapesscripts/helpers/labels.py: labels with a trainId, in the order of those: id, name, colour.
LABELS: tuple[tuple[int, str, Colour], ...] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
IMAGES, TRUTH = "leftImg8bit", "gtFine"
IMAGE_END, LABELS_END, IDS_END = "_leftImg8bit.png", "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"
PARTS: tuple[Split, ...] = ("train", "val")  # the annotations of test are not published
CLASSES = tuple(name for _, name, _ in LABELS)
PALETTE = tuple(colour for _, _, colour in LABELS)
CODING = Coding("values", {label: label for label in (*range(len(LABELS)), IGNORED)})
IDS_CODING = Coding(
    "values", dict.fromkeys(IDS, IGNORED) | {number: label for label, (number, _, _) in enumerate(LABELS)}
)
OFFICIAL = Official(
    "Cityscapes",
    "label maps",
    len(CLASSES),
    {"train": 2975, "val": 500},
    "mIoU",
    "leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip",
)


def cityscapes_label_maps(name: str, home: Path) -> AnnotatedData:
    """Return the label maps below the folder with leftImg8bit/ and gtFine/; splits train and val.

    The files are listed, and none is opened before a split is needed.
    """
    labels, ids = scenes_below(home, TRUTH, LABELS_END), scenes_below(home, TRUTH, IDS_END)
    whole = len(ids) <= len(labels)
    chosen, ending = (labels, LABELS_END) if whole else (ids, IDS_END)
    scenes = sorted(scenes_below(home, IMAGES, IMAGE_END) | chosen)
    parts = {
        part: _part(part, [scene for scene in scenes if scene.startswith(f"{part}/")], ending)
        for part in PARTS
    }
    coding = CODING if whole else IDS_CODING
    data = published_data(name, home, parts, Stated(CLASSES, None, coding, PALETTE), OFFICIAL)
    remark = (
        f"labels are read from *{IDS_END}, as {len(ids - labels)} of {len(ids)} scenes have no "
        f"*{LABELS_END}; both mean the same (mmbench data prepare cityscapes writes the latter)"
    )
    return data if whole else replace(data, remarks=(*data.remarks, remark))


def scenes_below(home: Path, folder: str, ending: str) -> set[str]:
    """Return PART/CITY/NAME of the files below a folder."""
    return {
        f"{part}/{path.parent.name}/{path.name.removesuffix(ending)}"
        for part in PARTS
        for path in (home / folder / part).glob(f"*/*{ending}")
    }


def _part(part: Split, scenes: list[str], ending: str) -> Part:
    pairs = (
        Pair(f"{IMAGES}/{scene}{IMAGE_END}", f"{TRUTH}/{scene}{ending}", scene.removeprefix(f"{part}/"))
        for scene in scenes
    )
    return Part(part, part, tuple(pairs))
