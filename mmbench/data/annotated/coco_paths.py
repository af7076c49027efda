"""Where the image of a file name in a COCO file is: exporters write paths of their own machine into it."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.annotated.shortened_paths import alike, folder_names, may_be_meant


@dataclass(frozen=True)
class Listing:
    """What one COCO file lists.

    Attributes:
        folder: folder of the images, below the root; "" is the root itself.
        names: returns the names of its images.
    """

    folder: str
    names: Callable[[], Iterable[str]]


class ImagePaths:
    """Finds images below a folder. No image is found for two names, or for one whose own place is another.

    Args:
        root: folder that the results are below.
        listings: those of all COCO files of the data set; read only if an image is not where its name says.
    """

    def __init__(self, root: Path, listings: Sequence[Listing]) -> None:
        self._root, self._listings = str(root), listings
        self._files: dict[str, dict[str, list[str]]] = {}

    def find(self, folder: str, file_name: str) -> tuple[str, bool]:
        """Return the path of an image below the root, and whether it is where the file name says.

        If there is no such image, the path is where it was expected.

        Args:
            folder: of the images of the file that lists it.
        """
        if (direct := self._direct(folder, file_name)) is not None:
            return direct, True
        if (shortened := self._shortened.get((folder, _plain(file_name)))) is not None:
            return shortened, False
        return _joined(folder, "/".join(_parts(file_name))), True

    def _direct(self, folder: str, file_name: str) -> str | None:
        if not _stays_below(file_name):
            return None
        path = _joined(folder, file_name)
        if not self._is_file(path):
            return None
        return path if "./" not in path and "//" not in path else _joined(folder, "/".join(_parts(file_name)))

    @functools.cached_property
    def _shortened(self) -> Mapping[tuple[str, str], str]:
        """Folder and name of images that are found by the end of the name -> their path."""
        taken: set[str] = set()
        found: dict[tuple[str, str], str] = {}
        for listing in self._listings:
            for name in listing.names():
                if (direct := self._direct(listing.folder, name)) is not None:
                    taken.add(direct)
                elif (path := self._by_end(listing.folder, name)) is not None:
                    found[listing.folder, _plain(name)] = path
        times = Counter(found.values())
        return {key: path for key, path in found.items() if path not in taken and times[path] == 1}

    def _by_end(self, folder: str, file_name: str) -> str | None:
        """Return the file that the end of a name leads to, None if there is none that may be meant."""
        parts = _parts(file_name)
        for start in range(len(parts)):
            rest = "/".join(parts[start:])
            for path in (_joined(folder, rest), rest) if start < len(parts) - 1 else (_joined(folder, rest),):
                if self._is_file(path) and may_be_meant(parts[:start], path, self._folders):
                    return path
        others = self._by_name(folder).get(alike(parts[-1]), []) if parts else []
        unique = len(others) == 1 and may_be_meant(parts[:-1], others[0], self._folders)
        return others[0] if unique else None

    def _is_file(self, path: str) -> bool:
        try:
            return os.path.isfile(f"{self._root}/{path}")  # noqa: PTH113  Path would cost more than the rest
        except ValueError:
            return False

    @functools.cached_property
    def _folders(self) -> frozenset[str]:
        """Names of all folders below the root, and below the folders of images, which may be links."""
        tops = [self._root, *(f"{self._root}/{listing.folder}" for listing in self._listings)]
        return folder_names(tops)

    def _by_name(self, folder: str) -> Mapping[str, list[str]]:
        """Return paths by file name, for names that differ in capital letters or in the form of accents."""
        if folder in self._files:
            return self._files[folder]
        found = self._files[folder] = {}
        for place, _, names in os.walk(Path(self._root) / folder):
            below = Path(place).relative_to(self._root).as_posix()
            for name in names:
                found.setdefault(alike(name), []).append(name if below == "." else f"{below}/{name}")
        return found


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _plain(file_name: str) -> str:
    return file_name.replace("\\", "/").lstrip("/")


def _parts(file_name: str) -> list[str]:
    return [part for part in _plain(file_name).split("/") if part not in ("", ".", "..")]


def _stays_below(file_name: str) -> bool:
    return not file_name.startswith("/") and ".." not in file_name.split("/")
