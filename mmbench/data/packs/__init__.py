"""Packed copies of image data: a folder of few large Arrow files that every command reads as `--data`."""
