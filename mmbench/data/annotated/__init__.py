"""Annotated images: boxes, masks and keypoints, whatever layout their files have."""
