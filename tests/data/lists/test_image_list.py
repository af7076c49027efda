"""Files that are no list of images although their path is given as one."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from mmbench.data import load_images
from mmbench.errors import UserError


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one.JPG", "is an image; name its folder, or a list with one path per line"),
        ("all.zip", "is an archive; unpack it, and name the folder"),
        ("all.tar.gz", "is an archive; unpack it"),
        ("without_ending", "is an archive; unpack it"),
        ("all.7z", "is an archive; unpack it"),
    ],
)
def test_archives_and_images_are_named_as_such(name: str, words: str, tmp_path: Path) -> None:
    image, path = tmp_path / "image.jpg", tmp_path / "files" / name
    Image.new("RGB", (8, 8)).save(image)
    path.parent.mkdir()
    if name.endswith("zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(image, "image.jpg")
    elif name.endswith(".gz") or name == "without_ending":
        with tarfile.open(path, "w:gz" if name.endswith(".gz") else "w") as packed:
            packed.add(image, "image.jpg")
    else:
        path.write_bytes(image.read_bytes())
    with pytest.raises(UserError) as caught:
        load_images(path)
    assert str(caught.value).startswith(f"{path} {words}")
