"""The label maps of scenes, as pairs: images/SPLIT and segmentation/SPLIT, with equal names below them."""

from __future__ import annotations

from pathlib import Path

from mmbench.data.label_maps.types import Pair, Part
from mmbench.data.types import SPLITS, Scenes, Split

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def scene_parts(scenes: Scenes) -> dict[Split, Part]:
    """Return the splits that have a folder of label maps; an image or a label map may lack the other.

    Where several files have one name, such as a.jpg and a.png, there is a pair for each.
    """
    parts: dict[Split, Part] = {}
    for split in SPLITS:
        if scenes.segmentation(split).is_dir():
            images = _by_name(scenes.images(split), f"images/{split}")
            maps = _by_name(scenes.segmentation(split), f"segmentation/{split}")
            pairs = [
                Pair(image, label_map, name)
                for name in sorted(maps.keys() | images.keys())
                for image in images.get(name, ("",))
                for label_map in maps.get(name, ("",))
            ]
            parts[split] = Part(split, split, tuple(pairs))
    return parts


def _by_name(folder: Path, below: str) -> dict[str, list[str]]:
    """Return the paths of images by their name without its ending."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.suffix.lower() in ENDINGS and not hidden and path.is_file():
            name = inside.with_suffix("").as_posix()
            found.setdefault(name, []).append(f"{below}/{inside.as_posix()}")
    return found
