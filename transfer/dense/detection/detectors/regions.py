"""What detectors in two stages share."""

from __future__ import annotations

from detectron2.config import CfgNode

from mmbench.transfer.dense.detection.detector_settings import RegionSettings


def configure_regions(cfg: CfgNode, settings: RegionSettings) -> None:
    """Set how proposals are made and sampled."""
    model = cfg.MODEL
    model.ROI_HEADS.BATCH_SIZE_PER_IMAGE = settings.roi_batch
    model.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO = settings.roi_samples
    model.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO = settings.roi_samples
    model.ROI_KEYPOINT_HEAD.POOLER_SAMPLING_RATIO = settings.roi_samples
    model.ROI_HEADS.POSITIVE_FRACTION = settings.roi_positive_share
    model.RPN.BATCH_SIZE_PER_IMAGE = settings.rpn_batch
    model.RPN.PRE_NMS_TOPK_TRAIN, model.RPN.POST_NMS_TOPK_TRAIN = settings.train_proposals
    model.RPN.PRE_NMS_TOPK_TEST, model.RPN.POST_NMS_TOPK_TEST = settings.test_proposals
