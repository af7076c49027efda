"""Detectron2's own ResNet, bare or inside a detector. Source: detectron2/modeling/backbone/resnet.py."""

from mmbench.checkpoints.format import CLASSIFIER, FORMATS, Format
from mmbench.checkpoints.tensors.renaming import Renaming

STAGES = {"stage": {"2": "1", "3": "2", "4": "3", "5": "4"}}
STEM = (("stem.conv1.weight", "conv1.weight"), ("stem.conv1.norm.{statistic}", "bn1.{statistic}"))
BLOCKS = (
    ("res{stage}.{block}.conv{conv}.weight", "layer{stage}.{block}.conv{conv}.weight"),
    ("res{stage}.{block}.conv{conv}.norm.{statistic}", "layer{stage}.{block}.bn{conv}.{statistic}"),
    ("res{stage}.{block}.shortcut.weight", "layer{stage}.{block}.downsample.0.weight"),
    ("res{stage}.{block}.shortcut.norm.{statistic}", "layer{stage}.{block}.downsample.1.{statistic}"),
)
RENAMING = Renaming((*STEM, *BLOCKS), STAGES)
# A detector without a feature pyramid keeps the last stage in its head: `Res5ROIHeads`.
LAST = {"last": {"5": "4"}}
WITH_HEAD = Renaming(
    (
        *(
            (f"roi_heads.{theirs.replace('{stage}', '{last}')}", ours.replace("{stage}", "{last}"))
            for theirs, ours in BLOCKS
        ),
        *((f"backbone.{theirs}", ours) for theirs, ours in (*STEM, *BLOCKS)),
    ),
    STAGES | LAST,
)

FORMATS.register("detectron2")(
    Format(
        name="detectron2",
        prefix="",
        renaming=RENAMING,
        dropped={"fc.": CLASSIFIER, "linear.": CLASSIFIER},
        marks=("stem.conv1.weight", "res2.0.conv1.weight"),
    )
)
FORMATS.register("detectron2-fpn")(
    Format(
        name="detectron2",
        prefix="backbone.bottom_up.",
        renaming=RENAMING,
        dropped={"": "not part of the backbone, but of the detector"},
        marks=("backbone.bottom_up.stem.conv1.weight", "backbone.bottom_up.res2.0.conv1.weight"),
    )
)
FORMATS.register("detectron2-c4")(
    Format(
        name="detectron2",
        prefix="",
        renaming=WITH_HEAD,
        dropped={"": "not part of the backbone, but of the detector"},
        marks=("backbone.stem.conv1.weight", "backbone.res2.0.conv1.weight"),
    )
)
