"""Image files as one split in memory, decoded only where its pixels are asked for.

A split in memory is identified by its decoded pixels. They follow from the files, so the identity of files
that did not change is kept in the database of facts (see `fact_database`), and need not be computed again.
"""

from __future__ import annotations

import contextlib
import functools

import PIL
from torch import Tensor

from mmbench.data.file_facts.content_hashes import UNREADABLE
from mmbench.data.file_facts.fact_database import FactDatabase
from mmbench.data.images.decoding import decode
from mmbench.data.types import ImageFiles, ImageSplit


class KnownSplit(ImageSplit):
    """A split whose fingerprint is known, decoded when `images` is first read.

    Attributes:
        files: its images, all of which could be read when the fingerprint was computed.
        size: side in pixels at which they are decoded.
    """

    files: ImageFiles
    size: int

    def __init__(self, files: ImageFiles, size: int, fingerprint: str) -> None:
        self.__dict__.update(files=files, size=size, labels=files.labels, fingerprint=fingerprint)

    @functools.cached_property
    def images(self) -> Tensor:
        """See `ImageSplit`.

        Raises:
            UserError: an image cannot be read any more.
        """
        return decode(self.files, self.size).images


def split_of_files(files: ImageFiles, size: int) -> ImageSplit:
    """Return the images as one split, decoded at once unless the files are those of an earlier time.

    Args:
        size: side in pixels of the decoded images.

    Raises:
        UserError: an image cannot be read.
    """
    if UNREADABLE in files.contents:
        return decode(files, size)
    # Another version of the decoder may resize to other values.
    name, status = b"%d" % size, f"Pillow {PIL.__version__} {files.fingerprint}".encode()
    cache = FactDatabase(files.root, "splits")
    with contextlib.closing(cache):
        kept, fingerprint = cache.known([name]).get(name, (b"", b""))
        if kept == status:
            return KnownSplit(files, size, fingerprint.decode())
        split = decode(files, size)
        with cache.writing():
            cache.keep(name, status, {"splits": split.fingerprint.encode()})
        return split
