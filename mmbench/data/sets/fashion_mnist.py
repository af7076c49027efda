"""Fashion-MNIST (Xiao et al. 2017): 70,000 grey images of 28 px, in the IDX format of MNIST.

The four files are taken from the first of these folders that has them all, gzipped or not: where torchvision
puts them below the data set's folder, as plain files there, where torchvision puts them below the folder of
all data sets, and where Debian's package `dataset-fashion-mnist` puts them. The MD5 sums of the manifest are
those of their content, which every packing of them shares.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmbench.data.dataset import DATASETS, Dataset, check_count
from mmbench.data.manifest import Manifest, require_manifest
from mmbench.data.sets import fashion_mnist_places as places
from mmbench.data.sets.drawn_splits import splits_of_parts
from mmbench.data.sets.torchvision_files import how_to_get
from mmbench.data.types import ImageSplit
from mmbench.errors import UserError
from mmbench.file_names import listed

BYTES = 0x08  # the IDX format's code of unsigned bytes


def _place(known: Manifest, root: Path) -> tuple[places.Place, tuple[str, ...]]:
    """Return the first folder that has all files, and a line for each that has only some and is passed over.

    Raises:
        UserError: none has them all.
    """
    partly: list[str] = []
    for place in places.places(root):
        lacks = f"{place.folder} has no {listed(place.missing)}"
        if not place.missing:
            return place, tuple(f"{words}; the files in {place.folder} are used" for words in partly)
        if place.files:
            partly.append(lacks)
    reason = f" ({'; '.join(partly)})" if partly else ""
    raise UserError(
        f"{known.name} is not in {root}{reason}; {how_to_get(known, root)}, or on Debian: "
        f"apt-get install {places.DEBIAN_PACKAGE}"
    )


def _content(path: Path, md5: str | None) -> bytes:
    """Return the unpacked content of a file.

    Raises:
        UserError: it cannot be read or unpacked, or its MD5 sum is not `md5`.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"cannot be read ({' '.join(str(error).split())})") from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 is not None and found != md5:
        raise _damaged(path, f"is damaged or another file: the MD5 sum of its content is {found}, not {md5}")
    return content


def _damaged(path: Path, what: str) -> UserError:
    if path.is_relative_to(places.DEBIAN):
        return UserError(f"{path} {what}; run: apt-get install --reinstall {places.DEBIAN_PACKAGE}")
    return UserError(f"{path} {what}; remove it and run: mmbench data prepare {places.NAME} --download")


def read_idx(path: Path, axes: int, md5: str | None = None) -> Tensor:
    """Return the unsigned bytes of an IDX file, gzipped where its name ends in ".gz".

    The format: two zero bytes, the code of the type, the number of axes, then the length of each axis as a
    big-endian 32-bit integer, then the values.

    Args:
        axes: that it must have.
        md5: of its unpacked content; None compares nothing.

    Returns:
        uint8, with as many axes.

    Raises:
        UserError: it cannot be read, has another MD5 sum, or is not such a file.
    """
    content = _content(path, md5)
    start = 4 + 4 * axes
    if content[:4] != bytes((0, 0, BYTES, axes)) or len(content) < start:
        raise _damaged(path, f"is not an IDX file of bytes with {axes} axes")
    shape = np.frombuffer(content, ">u4", axes, offset=4).tolist()
    if len(content) != start + math.prod(shape):
        lengths = " x ".join(map(str, shape))
        raise _damaged(path, f"holds {len(content) - start} values where its header says {lengths}")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def _read(known: Manifest, place: places.Place, part: str) -> ImageSplit:
    """Return an official part in the order of classes, so that draws depend on class sizes alone.

    Grey images become RGB with three equal channels.
    """
    images, labels = (
        read_idx(place.files[name], axes, known.files.get(name))
        for name, axes in zip(places.file_names(part), (3, 1), strict=True)
    )
    if len(images) != len(labels):
        names = listed(places.file_names(part))
        raise UserError(f"{names} in {place.folder} hold {len(images)} images and {len(labels)} labels")
    if known.enforced:
        check_count(places.NAME, place.folder, f"{part} images", len(labels), known.official.get(part))
    order = labels.long().argsort(stable=True)
    colours = images[order].unsqueeze(1).expand(-1, 3, -1, -1)
    return ImageSplit(colours.contiguous(), labels.long()[order])


@DATASETS.register(places.NAME)
def load_fashion_mnist(root: Path) -> Dataset:
    """Return Fashion-MNIST; 10% of each class of its 60,000 training images are val.

    Raises:
        UserError: files that are missing or damaged.
    """
    from torchvision.datasets import FashionMNIST

    known = require_manifest(places.NAME)
    place, remarks = _place(known, root)
    splits = splits_of_parts(known, functools.partial(_read, known, place))
    return Dataset(
        places.NAME,
        place.folder,
        tuple(FashionMNIST.classes),
        splits,
        known.image_size,
        metric=known.metric,
        expected=known.expected(),
        remarks=remarks,
    )
