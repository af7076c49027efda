"""Pretraining without labels: frameworks that compare views, maskings that corrupt them, one loop."""
