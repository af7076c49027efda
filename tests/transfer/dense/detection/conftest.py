"""Tiny scenes on disk: coloured rectangles, in the layout that every dense data set of mmbench has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.data import Dataset, Scenes

CLASSES = ("red", "green", "blue")
COLOURS = ((220, 40, 40), (40, 200, 60), (50, 60, 220))
SIZE = 64


def render_scenes(root: Path, counts: dict[str, int], seed: int = 0) -> Scenes:
    """Write images with one or two rectangles each, and their COCO files (ids start at 1, as COCO's do)."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        folder = root / "images" / split
        folder.mkdir(parents=True)
        images, annotations = [], []
        for number in range(count):
            image = rng.normal(128, 12, (SIZE, SIZE, 3))
            for _ in range(int(rng.integers(1, 3))):
                kind = int(rng.integers(len(CLASSES)))
                width, height = (int(side) for side in rng.integers(16, 33, 2))
                left, top = int(rng.integers(0, SIZE - width)), int(rng.integers(0, SIZE - height))
                image[top : top + height, left : left + width] = COLOURS[kind]
                right, bottom = left + width, top + height
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number + 1,
                        "category_id": kind + 1,
                        "bbox": [left, top, width, height],
                        "area": width * height,
                        "iscrowd": 0,
                        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
                    }
                )
            name = f"{number:04d}.png"
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / name)
            images.append({"id": number + 1, "file_name": name, "width": SIZE, "height": SIZE})
        categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
        path = root / "annotations" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return Scenes(root, CLASSES)


@pytest.fixture(scope="session")
def scenes_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set with scenes only: 40 training and 8 test images."""
    root = tmp_path_factory.mktemp("rectangles")
    scenes = render_scenes(root, {"train": 40, "test": 8})
    return Dataset("rectangles", root, CLASSES, {}, image_size=32, scenes=scenes)
