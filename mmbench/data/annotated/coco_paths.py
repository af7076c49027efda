"""Where the image of a file name in a COCO file is: exporters write paths of their own machine into it."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from mmbench.file_names import composed


class ImagePaths:
    """Finds images below a folder.

    Args:
        root: folder that the results are below.
        folder: folder of the images of one split, below `root`; "" is `root` itself.
    """

    def __init__(self, root: Path, folder: str) -> None:
        self._root, self._folder = str(root), folder.strip("/")
        self._prefix = f"{self._folder}/" if self._folder else ""

    def find(self, file_name: str) -> tuple[str, bool]:
        """Return the path of an image below the root, and whether it is where the file name says.

        If there is no such image, the path is where it was expected.
        """
        if self._is_file(direct := self._prefix + file_name) and _stays_below(file_name):
            return direct, True
        parts = [part for part in file_name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        for start in range(len(parts)):
            rest = "/".join(parts[start:])
            if self._is_file(self._prefix + rest):
                return self._prefix + rest, False
            if start < len(parts) - 1 and self._is_file(rest):
                return rest, False
        others = self._by_name.get(_alike(parts[-1]), []) if parts else []
        return (others[0], False) if len(others) == 1 else (self._prefix + "/".join(parts), True)

    def _is_file(self, path: str) -> bool:
        try:
            return os.path.isfile(f"{self._root}/{path}")  # noqa: PTH113  Path would cost more than the rest
        except ValueError:
            return False

    @functools.cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Paths by file name, for names that differ in capital letters or in the form of accents."""
        found: dict[str, list[str]] = {}
        top = Path(self._root) / self._folder
        for folder, _, names in os.walk(top):
            below = Path(folder).relative_to(self._root).as_posix()
            for name in names:
                found.setdefault(_alike(name), []).append(name if below == "." else f"{below}/{name}")
        return found


def _stays_below(file_name: str) -> bool:
    return not file_name.startswith("/") and ".." not in file_name.split("/")


def _alike(name: str) -> str:
    return composed(name).casefold()
