"""Sizes of the images of a data set: for files their size on disk, not that of a decoded copy."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, UnidentifiedImageError

from mmbench.data.dataset import Dataset
from mmbench.data.images.image_places import openable
from mmbench.data.types import ImageFiles, Split

MUCH_CUT = 0.26  # of an image's pixels outside its centre square; of 4:3 photos a quarter is, to the rounding
SAMPLE = 256  # files whose headers are read: evenly spread, so the same ones in every run


@dataclass(frozen=True)
class Sides:
    """Short sides of images, in pixels.

    Attributes:
        least, median, most: over the images that were looked at; `median` is one of them.
        square: whether all of these are square.
        files: whether they are those of files, as opposed to images that a data set holds decoded.
        in_square: the share of its pixels that the centre square of an image holds, of the median image.
    """

    least: int
    median: int
    most: int
    square: bool
    files: bool
    in_square: float = 1.0

    @property
    def much_cut(self) -> bool:
        """Whether the median image loses more than a quarter of its pixels where centre squares are kept."""
        return 1 - self.in_square > MUCH_CUT

    def __str__(self) -> str:
        """Return "28 px files", or "281 to 500 px files (short sides; median 333)"."""
        size, _, remark = self.span.partition(" px")
        return f"{size} px {'files' if self.files else 'images'}{remark}"

    @property
    def span(self) -> str:
        """The size alone: "28 px", or "281 to 500 px (short sides; median 333)"."""
        if self.least == self.most:
            return f"{self.median} px" + ("" if self.square else " (short side)")
        return f"{self.least} to {self.most} px (short sides; median {self.median})"


def sides_of_files(files: ImageFiles) -> Sides | None:
    """Return the short sides of up to SAMPLE files from their headers; None if no header can be read.

    An EXIF rotation swaps the sides, which leaves the short one as it is. Headers are read once per object.
    """
    if "sides" not in files.__dict__:
        files.__dict__["sides"] = _from_headers(files)
    found: Sides | None = files.__dict__["sides"]
    return found


def _from_headers(files: ImageFiles) -> Sides | None:
    chosen = torch.linspace(0, len(files) - 1, min(SAMPLE, len(files))).round().long().tolist()
    sizes = []
    for index in chosen:
        try:
            with Image.open(openable(files.place(index))) as opened:
                sizes.append(opened.size)
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue  # reading it for good says what is wrong
    return _sides(sizes, files=True) if sizes else None


def sides(dataset: Dataset, split: Split) -> Sides | None:
    """Return the short sides of a split: of its files where it has some, else of its decoded images."""
    if split in dataset.files:
        return sides_of_files(dataset.files[split]())
    height, width = dataset.split(split).images.shape[-2:]
    return _sides([(width, height)], files=False)


def _sides(sizes: Sequence[tuple[int, int]], *, files: bool) -> Sides:
    short = [min(size) for size in sizes]
    square = all(width == height for width, height in sizes)
    in_square = statistics.median(min(size) / max(size) for size in sizes)
    return Sides(min(short), statistics.median_low(short), max(short), square, files, in_square)
