"""Crops and preprocessing of images in memory."""
