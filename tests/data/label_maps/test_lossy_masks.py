"""Masks that are stored with loss are refused in every split; exact ones of the same formats are read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from own_masks import COUNTS, Labels, found, opened, truth, write
from PIL import Image

from mmbench.data.label_maps.pixels import read_labels
from mmbench.errors import UserError

# A block of metadata makes a WebP an extended one, whose frame is a chunk further down.
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
LOSSY: dict[str, tuple[str, dict[str, Any], str]] = {
    "WebP": ("WEBP", {"quality": 100}, "a lossy WebP, which blurs labels"),
    "extended WebP": ("WEBP", {"quality": 100, "exif": EXIF}, "a lossy WebP, which blurs labels"),
    "AVIF": ("AVIF", {"quality": 95}, "an image of format AVIF, which may blur labels"),
    "JPEG 2000": ("JPEG2000", {"irreversible": True}, "an image of format JPEG2000, which may blur labels"),
    "reversible JPEG 2000, cut": (
        "JPEG2000",
        {"quality_mode": "rates", "quality_layers": [9]},
        "an image of format JPEG2000, which may blur labels",
    ),
    "TIFF": ("TIFF", {"compression": "jpeg"}, "a TIFF of JPEG compression, which blurs labels"),
    "JPEG": ("JPEG", {}, "a JPEG, which blurs labels"),
}
EXACT: dict[str, tuple[str, dict[str, Any]]] = {
    "WebP": ("WEBP", {"lossless": True}),
    "extended WebP": ("WEBP", {"lossless": True, "exif": EXIF}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "PPM": ("PPM", {}),
    "TGA": ("TGA", {"compression": "tga_rle"}),
    **{
        f"TIFF, {name}": ("TIFF", {"compression": name})
        for name in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "zstd", "lzma")
    },
}


def stored(labels: Labels, kind: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(labels).save(stream, kind, **options)
    return stream.getvalue()


def written(root: Path, kind: str, options: dict[str, Any]) -> Path:
    """Write a set whose mask files hold another format than their ending says, as it is not looked at."""
    write(root)
    for split, count in COUNTS.items():
        for number in range(count):
            path = root / f"segmentation/{split}/{number}.png"
            path.write_bytes(stored(truth(split, number), kind, options))
    return root


@pytest.mark.parametrize("name", LOSSY)
def test_masks_that_are_stored_with_loss_are_refused(tmp_path: Path, name: str) -> None:
    kind, options, words = LOSSY[name]
    data = opened(written(tmp_path, kind, options))
    for split, count in COUNTS.items():
        (line,) = found(data, split)
        assert line.startswith(f"{split}: {count} label maps that are each {words}") and "refused" in line
        assert not data.split(split).images  # type: ignore[arg-type]
    assert data.label_maps is not None
    with pytest.raises(UserError, match=f"is {words}; save it as a PNG of labels"):
        read_labels(tmp_path / "segmentation/test/0.png", data.label_maps.coding)


@pytest.mark.parametrize("name", EXACT)
def test_exact_files_of_the_same_formats_are_read(tmp_path: Path, name: str) -> None:
    kind, options = EXACT[name]
    data = opened(written(tmp_path, kind, options))
    assert data.label_maps is not None
    for split, count in COUNTS.items():
        assert not found(data, split)
        for number in range(count):
            path = tmp_path / f"segmentation/{split}/{number}.png"
            assert (read_labels(path, data.label_maps.coding) == truth(split, number)).all()


def test_the_loss_is_real_even_with_the_reversible_transform() -> None:
    labels = np.kron(truth("train", 0), np.full((8, 8), 60, np.uint8))
    content = stored(labels, "JPEG2000", {"quality_mode": "rates", "quality_layers": [60]})
    assert content[content.index(b"\xff\x52") + 13] == 1  # the transform of its COD segment: 5-3
    assert (np.asarray(Image.open(io.BytesIO(content))) != labels).any()
