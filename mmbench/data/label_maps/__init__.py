"""Images with label maps: one label per pixel, whatever the mask files look like."""
