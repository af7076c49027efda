"""What the dense tasks share: one module per purpose, none of which needs Detectron2 or mmsegmentation."""
