"""The checks of `mmbench doctor` of optional libraries: each runs the real thing."""

from __future__ import annotations

import importlib.util
import io

from mmbench.tools.doctor_checks import DETECTION_FIX, PNG_FIX, SEGMENTATION_FIX, Finding


def check_detectron2() -> Finding:
    """A tiny Faster R-CNN of Detectron2 finds boxes on the CPU."""
    if importlib.util.find_spec("detectron2") is None:
        return Finding("detectron2", "absent", "not installed; only detection needs it", DETECTION_FIX)
    import pycocotools.mask  # noqa: F401  (Detectron2's data sets and evaluation need its compiled part)
    import torch
    from detectron2 import __version__ as version
    from detectron2.config import get_cfg
    from detectron2.modeling import build_model

    cfg = get_cfg()
    model = cfg.MODEL
    model.DEVICE, model.WEIGHTS = "cpu", ""
    model.BACKBONE.NAME, model.RESNETS.DEPTH, model.RESNETS.RES2_OUT_CHANNELS = (
        "build_resnet_fpn_backbone",
        18,
        64,
    )
    model.RESNETS.OUT_FEATURES = model.FPN.IN_FEATURES = ["res4", "res5"]
    model.FPN.OUT_CHANNELS, model.ANCHOR_GENERATOR.SIZES = 16, [[32], [64], [128]]
    model.RPN.IN_FEATURES, model.ROI_HEADS.IN_FEATURES = ["p4", "p5", "p6"], ["p4", "p5"]
    model.ROI_HEADS.NAME, model.ROI_HEADS.NUM_CLASSES = "StandardROIHeads", 2
    model.ROI_HEADS.SCORE_THRESH_TEST = 0.0  # random weights give low scores
    model.ROI_BOX_HEAD.NAME, model.ROI_BOX_HEAD.NUM_FC, model.ROI_BOX_HEAD.FC_DIM = "FastRCNNConvFCHead", 1, 8
    model.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        image = 255 * torch.rand(3, 64, 64)
        found = len(build_model(cfg).eval()([{"image": image}])[0]["instances"])
    if found == 0:
        return Finding("detectron2", "problem", f"{version}: the forward pass finds no boxes", DETECTION_FIX)
    return Finding("detectron2", "ok", f"{version}, forward pass of a Faster R-CNN works")


def check_mmseg() -> Finding:
    """A tiny FCN of mmsegmentation labels the pixels of an image on the CPU."""
    if importlib.util.find_spec("mmseg") is None:
        return Finding("mmseg", "absent", "not installed; only segmentation needs it", SEGMENTATION_FIX)
    import mmcv
    import mmengine
    import mmseg
    import torch
    from mmengine.config import ConfigDict
    from mmseg.models import EncoderDecoder

    versions = f"{mmseg.__version__} (mmcv {mmcv.__version__}, mmengine {mmengine.__version__})"
    head = {"type": "FCNHead", "in_channels": 512, "in_index": 3, "channels": 8, "num_convs": 1}
    config = ConfigDict(
        backbone={"type": "ResNet", "depth": 18, "style": "pytorch"},
        decode_head={**head, "concat_input": False, "num_classes": 3, "norm_cfg": {"type": "BN"}},
        test_cfg={"mode": "whole"},
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        labels = EncoderDecoder(**config).eval().predict(torch.rand(1, 3, 64, 64))[0].pred_sem_seg.data
    if tuple(labels.shape) != (1, 64, 64) or not 0 <= int(labels.min()) <= int(labels.max()) < 3:
        detail = f"{versions}: labels of shape {tuple(labels.shape)} do not fit a 64 px image"
        return Finding("mmseg", "problem", detail, SEGMENTATION_FIX)
    return Finding("mmseg", "ok", f"{versions}, forward pass of an FCN works")


def check_imagecodecs() -> Finding:
    """libspng in imagecodecs decodes a PNG to the pixels that Pillow finds."""
    if importlib.util.find_spec("imagecodecs") is None:
        detail = "not installed; PNG files are then read by Pillow, more slowly"
        return Finding("imagecodecs", "absent", detail, PNG_FIX)
    import imagecodecs
    import numpy as np
    from PIL import Image

    version = imagecodecs.__version__
    noise = np.random.default_rng(0).integers(0, 256, (45, 61, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    if not imagecodecs.SPNG.available:
        detail = f"{version}: built without libspng; PNG files are then read by Pillow, more slowly"
        return Finding("imagecodecs", "absent", detail, PNG_FIX)
    if not np.array_equal(imagecodecs.spng_decode(stream.getvalue()), noise):
        return Finding("imagecodecs", "problem", f"{version}: other pixels than Pillow's", PNG_FIX)
    return Finding("imagecodecs", "ok", f"{version}, decodes PNG files")
