"""Whether the end of a path that does not exist here may lead to the file that is meant.

Annotations hold paths of the machine that wrote them, so the start of a path may be left out. It says which
file is meant, though, where a folder of that name is here: cam2/0007.png is never cam1/0007.png.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path

from mmbench.file_names import composed


def alike(name: str) -> str:
    """Return what names have in common that differ in capital letters or in the form of accents only."""
    return composed(name).casefold()


def folder_names(tops: Iterable[str | Path]) -> frozenset[str]:
    """Return the names of all folders below some folders, as `alike` gives them."""
    return frozenset(
        alike(name) for top in dict.fromkeys(map(str, tops)) for _, names, _ in os.walk(top) for name in names
    )


def may_be_meant(dropped: Iterable[str], path: str, folders: Container[str]) -> bool:
    """Return whether a file may be meant by a path whose start was left out.

    Args:
        dropped: the folders that were left out.
        path: of the file that was found.
        folders: names of all folders of the data set, as `alike` gives them.

    >>> may_be_meant(["home", "cam2"], "images/cam1/7.png", {"images", "cam1", "cam2"})
    False
    >>> may_be_meant(["home", "images"], "images/cam1/7.png", {"images", "cam1", "cam2"})
    True
    """
    around = {alike(part) for part in path.split("/")[:-1]}
    return all(alike(part) in around or alike(part) not in folders for part in dropped)
