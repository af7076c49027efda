"""The label maps of scenes, as pairs: images/SPLIT and segmentation/SPLIT, with equal stems."""

from __future__ import annotations

from mmbench.data.label_maps.types import Pair, Part
from mmbench.data.types import SPLITS, Scenes, Split

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")


def scene_parts(scenes: Scenes) -> dict[Split, Part]:
    """Return the splits that have a folder of label maps; an image or a label map may lack the other."""
    parts: dict[Split, Part] = {}
    for split in SPLITS:
        if not scenes.segmentation(split).is_dir():
            continue
        maps = {path.stem: path.name for path in scenes.segmentation(split).glob("*.png")}
        images = {
            path.stem: path.name
            for path in scenes.images(split).glob("*")
            if path.suffix.lower() in IMAGE_ENDINGS
        }
        pairs = [
            Pair(
                f"images/{split}/{images[stem]}" if stem in images else "",
                f"segmentation/{split}/{maps[stem]}" if stem in maps else "",
                stem,
            )
            for stem in sorted(maps.keys() | images.keys())
        ]
        parts[split] = Part(split, split, tuple(pairs))
    return parts
