"""The table of all data sets that `mmbench data list` prints."""

from __future__ import annotations

from mmbench.data import DATASETS
from mmbench.data.dataset import GENERATORS
from mmbench.data.downloads import DOWNLOADS
from mmbench.data.manifest import manifest
from mmbench.data.official import PUBLISHED
from mmbench.data.types import SPLITS

HEADER = ("name", "labels", "classes", "train", "val", "test", "metric", "val split is", "source")
NUMBERS = range(2, 6)  # columns of numbers


def data_set_table() -> list[tuple[str, ...]]:
    """Return a header and the rows: a data set has one per kind of labels, with the sizes that are official.

    A dash stands for what depends on the files.
    """
    return [HEADER, *(row for name in DATASETS.names() for row in _rows(name))]


def _rows(name: str) -> list[tuple[str, ...]]:
    source = "your files"
    if name in GENERATORS.names():
        source = "rendering"
    elif name in DOWNLOADS:
        source = "--download"
    found, rows = manifest(name), list[tuple[str, ...]]()
    if found is not None:
        sizes = (found.classes, *(found.splits[split].images for split in SPLITS))
        val = found.splits["val"].describe()
        rows.append((name, "classes", *map(_number, sizes), found.metric, val, source))
    for entry in PUBLISHED.get(name) if name in PUBLISHED.names() else ():
        sizes = (entry.classes, *(entry.images.get(split) for split in SPLITS))
        val = "official val" if "val" in entry.images else "none"
        rows.append((name, entry.labels, *map(_number, sizes), entry.metric, val, entry.archives or source))
    return rows or [(name, *"-" * (len(HEADER) - 2), source)]


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)
