"""From image files to pixels: decoded, cropped, and read in advance by worker processes."""
