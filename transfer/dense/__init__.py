"""Dense tasks: detection with Detectron2, segmentation with mmsegmentation, and what they share."""
