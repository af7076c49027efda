"""What `mmbench data prepare NAME --download` can fetch, and how; a light module, which plans read too."""

from __future__ import annotations

import pkgutil
from pathlib import Path

# Data set -> "module:name" of torchvision's class, or of a function of the data set's folder.
DOWNLOADS = {
    "caltech101": "torchvision.datasets:Caltech101",
    "cifar10": "torchvision.datasets:CIFAR10",
    "cifar100": "torchvision.datasets:CIFAR100",
    "dtd": "torchvision.datasets:DTD",
    "fashion-mnist": "torchvision.datasets:FashionMNIST",
    "fgvc-aircraft": "mmbench.data.torchvision_sets:download_aircraft",
    "flowers102": "torchvision.datasets:Flowers102",
    "food101": "torchvision.datasets:Food101",
    "oxford-pets": "torchvision.datasets:OxfordIIITPet",
    "stl10": "torchvision.datasets:STL10",
    "sun397": "torchvision.datasets:SUN397",
    "tiny-imagenet": "mmbench.data.tiny_imagenet:download_tiny_imagenet",
    "voc2007": "mmbench.data.voc2007:download_voc2007",
}


def fetch(name: str, root: Path) -> None:
    """Fetch and unpack a data set of `DOWNLOADS` in its folder, which checks the digest of what it fetched.

    Raises:
        OSError, RuntimeError: the download failed.
    """
    found = pkgutil.resolve_name(DOWNLOADS[name])
    if isinstance(found, type):
        found(str(root), download=True)
    else:
        found(root)
