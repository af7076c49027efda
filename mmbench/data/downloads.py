"""What `mmbench data prepare NAME --download` can fetch, and how; a light module, which plans read too."""

from __future__ import annotations

import pkgutil
import tarfile
import zipfile
import zlib
from pathlib import Path

from mmbench.errors import UserError
from mmbench.file_names import printable

# Data set -> "module:name" of torchvision's class, or of a function of the data set's folder.
DOWNLOADS = {
    "caltech101": "torchvision.datasets:Caltech101",
    "cifar10": "torchvision.datasets:CIFAR10",
    "cifar100": "torchvision.datasets:CIFAR100",
    "dtd": "torchvision.datasets:DTD",
    "fashion-mnist": "torchvision.datasets:FashionMNIST",
    "fgvc-aircraft": "mmbench.data.sets.torchvision_sets:download_aircraft",
    "flowers102": "torchvision.datasets:Flowers102",
    "food101": "torchvision.datasets:Food101",
    "oxford-pets": "torchvision.datasets:OxfordIIITPet",
    "stl10": "torchvision.datasets:STL10",
    "sun397": "torchvision.datasets:SUN397",
    "tiny-imagenet": "mmbench.data.sets.tiny_imagenet:download_tiny_imagenet",
    "voc2007": "mmbench.data.sets.voc2007:download_voc2007",
}
# What unpacking makes, below the data set's folder, of data sets whose files have no digests of their own.
# Where it is there, torchvision unpacks nothing, ...
UNPACKED = {
    "caltech101": "caltech101/101_ObjectCategories",
    "dtd": "dtd/dtd",
    "fgvc-aircraft": "fgvc-aircraft-2013b",
    "flowers102": "flowers-102/jpg",
    "food101": "food-101",
    "oxford-pets": "oxford-iiit-pet/images",
    "sun397": "SUN397",
}
# ... and these it unpacks again.
UNPACKED_AGAIN = {"tiny-imagenet": "tiny-imagenet-200", "voc2007": "VOCdevkit/VOC2007"}
# What unpacking raises of an archive that is damaged or cut off; not every archive has a digest to compare.
DAMAGED_ARCHIVE = (EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
UNFINISHED = ".mmbench-unfinished"  # in the data set's folder while it is fetched and unpacked


def fetch(name: str, root: Path) -> None:
    """Fetch and unpack a data set of `DOWNLOADS` in its folder, which checks the digest of what it fetched.

    Raises:
        UserError: an earlier unpacking was interrupted, and torchvision would take it for complete.
        OSError, RuntimeError, DAMAGED_ARCHIVE: the download failed.
    """
    if name in UNPACKED:
        require_unpacked(name, root)
    made = {**UNPACKED, **UNPACKED_AGAIN}.get(name)
    if made is not None and not (root / made).exists():
        root.mkdir(parents=True, exist_ok=True)
        words = f"mmbench fetches {name} and has not unpacked all of it\n"
        (root / UNFINISHED).write_text(words, encoding="utf-8")
    found = pkgutil.resolve_name(DOWNLOADS[name])
    complete = False
    try:
        if isinstance(found, type):
            found(str(root), download=True)
        else:
            found(root)
        complete = True
    finally:
        if complete or (made is not None and not (root / made).exists()):
            (root / UNFINISHED).unlink(missing_ok=True)


def require_unpacked(name: str, root: Path) -> None:
    """Check that no interrupted `fetch` left a part of a data set in its folder.

    Raises:
        UserError: it did.
    """
    made = {**UNPACKED, **UNPACKED_AGAIN}.get(name)
    if made is None or not (root / UNFINISHED).exists() or not (root / made).exists():
        return
    first = f"remove {printable(root / made)}, then " if name in UNPACKED else ""
    raise UserError(
        f"{name} in {printable(root)} was not unpacked to its end; {first}run: mmbench data prepare {name} "
        f"--data-root {printable(root.parent)} --download (or remove {UNFINISHED} there if you completed it)"
    )
