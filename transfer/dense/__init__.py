"""Detection with Detectron2 and segmentation with mmsegmentation."""
