"""Image folders to pack, and what is expected of their packed copies, by Pillow alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from mmbench.data import Dataset, load_dataset
from mmbench.data.packs.header import Encoding
from mmbench.data.packs.writing import write_pack
from mmbench.data.types import SPLITS

COUNTS = {"train": 5, "val": 2, "test": 3}
CLASSES = ("cat", "dog")


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return a picture of smooth colours, which JPEG stores almost as they are."""
    dots = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(dots).resize((width, height), Image.Resampling.BICUBIC)


def write_folders(root: Path, suffix: str = "png") -> Path:
    """Write two classes in three splits: every second image is larger than 40 px on its short side."""
    number = 0
    for split, count in COUNTS.items():
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                number += 1
                size = (90, 61) if index % 2 else (32, 40)
                smooth(*size, seed=number).save(root / split / name / f"{index}.{suffix}")
    return root


def packed(source: Path | str, out: Path, short_side: int = 40, **options: Any) -> Dataset:
    """Pack a path as PNG, unless options say otherwise, and return the packed copy."""
    encoding = Encoding(
        short_side=short_side, format=options.pop("format", "png"), quality=options.pop("quality", None)
    )
    write_pack(load_dataset(str(source)), out, encoding, **options)
    return load_dataset(str(out))


def stored(dataset: Dataset, split: str = "train") -> dict[str, bytes]:
    """Return name -> bytes of the images, read by pyarrow alone from the files of the pack."""
    found: dict[str, bytes] = {}
    for path in sorted(dataset.root.glob(f"{split}-*.arrow")):
        for row in pa.ipc.open_file(path.read_bytes()).read_all().to_pylist():
            found[row["name"]] = row["image"]
    return found


def pixels(content: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def header(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "pack.json").read_text())
    return content


def everything(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def splits_of(dataset: Dataset) -> list[str]:
    return [split for split in SPLITS if split in dataset.files]
