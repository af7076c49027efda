"""A little folder of labelled images, for tests of commands that measure."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("rows", "columns", "noise")
PER_CLASS = {"train": 8, "val": 4, "test": 6}


def write_images(root: Path, seed: int = 0) -> Path:
    """Write stripes along rows, along columns, and noise, 16 px a side; return the folder."""
    rng = np.random.default_rng(seed)
    for split, count in PER_CLASS.items():
        for name in CLASSES:
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                image = rng.integers(0, 90, (16, 16, 3))
                stripes = 120 * ((np.arange(16) + rng.integers(0, 4)) % 4 < 2)
                if name != "noise":
                    image += stripes[:, None, None] if name == "rows" else stripes[None, :, None]
                Image.fromarray(image.astype(np.uint8)).save(folder / f"{index}.png")
    return root
