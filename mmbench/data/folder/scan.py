"""The content of a folder of images: sub-folders, images, and counts of everything that is left out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from mmbench.data.file_facts.content_hashes import DATABASE
from mmbench.data.names import absent
from mmbench.errors import UserError
from mmbench.file_names import IMAGE_ENDINGS, printable

# Formats that are looked for in files whose names do not end like an image's: those with a signature of
# their own, without vector graphics, video and the scientific containers that Pillow only recognises.
PROBED_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "ICO", "PPM", "QOI", "SGI")

# Created by operating systems and file servers; compared in lower case.
SYSTEM_NAMES = frozenset(
    {
        *("__macosx", "@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "lost+found", "$recycle.bin"),
        *("system volume information", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    }
)
UNFINISHED_ENDINGS = (".part", ".partial", ".crdownload", ".tmp", "~")

# Images that Pillow does not decode; camera files are TIFF inside, of which it would read the thumbnail.
UNDECODED_ENDINGS = frozenset(
    {
        *(".heic", ".heif", ".jxl", ".psd", ".svg", ".exr", ".dcm", ".raw", ".cr2", ".cr3", ".nef", ".arw"),
        *(".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    }
)

DEEPEST = 100  # levels of folders: deeper trees are errors, and paths would be too long
MOST_VISITS = 100  # of one folder through links; more means that links multiply each other


@dataclass
class LeftOut:
    """Counts of what is not used, by reason, with a few examples of each."""

    found: dict[str, tuple[int, dict[str, int]]] = field(default_factory=dict)

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Count `count` more of a kind such as "broken links"; equal examples are counted, not repeated."""
        total, examples = self.found.get(reason, (0, {}))
        if example in examples or len(examples) <= 3:
            examples[example] = examples.get(example, 0) + count
        self.found[reason] = (total + count, examples)

    def total(self, reason: str) -> int:
        """Return how many there are of a kind."""
        return self.found.get(reason, (0, {}))[0]

    def in_words(self) -> str:
        """Return one line, "left out: broken links: 2 (a/1.png, b/3.png); ..."; empty if nothing is."""
        parts = []
        for reason, (total, examples) in self.found.items():
            shown = [
                printable(name) + (f" {times}" if times > 1 and times < total else "")
                for name, times in list(examples.items())[:3]
            ]
            more = ", ..." if len(examples) > 3 else ""
            parts.append(f"{reason}: {total} ({', '.join(shown)}{more})")
        return f"left out: {'; '.join(parts)}" if parts else ""


@dataclass
class Folder:
    """One folder.

    Attributes:
        path: relative to the scanned folder, with "/"; empty for that folder itself.
        folders: those in it that are not hidden, sorted by name.
        images: names of the images that lie directly in it, sorted.
        others: number of files in it that are not images.
    """

    path: str
    folders: list[Folder] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    others: int = 0

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.rpartition("/")[2]

    def total(self) -> int:
        """Return the number of images in it and below."""
        return len(self.images) + sum(folder.total() for folder in self.folders)

    def holds_other_files(self) -> bool:
        """Return whether files that are not images lie in it or below."""
        return self.others > 0 or any(folder.holds_other_files() for folder in self.folders)

    def filled(self) -> list[Folder]:
        """Return the folders in it that hold images, at any depth."""
        return [folder for folder in self.folders if folder.total()]

    def below(self) -> Iterator[str]:
        """Yield the paths of all images in it and below, relative to the scanned folder.

        The order is that of sorted paths, compared level by level.
        """
        start = f"{self.path}/" if self.path else ""
        if not self.folders:
            yield from (start + name for name in self.images)
            return
        entries: list[tuple[str, Folder | None]] = [(name, None) for name in self.images]
        entries += [(folder.name, folder) for folder in self.folders]
        for name, folder in sorted(entries, key=lambda entry: entry[0]):
            if folder is None:
                yield start + name
            else:
                yield from folder.below()


def is_system_name(name: str) -> bool:
    """Return whether a file or folder is hidden or made by a system."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def scan(root: Path, *, keep_empty: bool = False) -> tuple[Folder, LeftOut]:
    """Return the content of `root`, at any depth. Links to files and to folders are followed.

    No file is opened whose name ends like an image's; others are identified by their first bytes.

    Args:
        keep_empty: whether empty files that are named like images are images, to be refused when read.

    Raises:
        UserError: the folder is missing, or a folder in it may not be read.
    """
    if not root.is_dir():
        raise absent(root)
    walk = _Walk(root, keep_empty)
    return walk.folder("", ()), walk.left_out


class _Walk:
    """One walk through a folder."""

    def __init__(self, root: Path, keep_empty: bool) -> None:
        self.root, self.keep_empty = root, keep_empty
        self.left_out = LeftOut()
        self.visits: dict[tuple[int, int], int] = {}

    def folder(self, path: str, above: tuple[tuple[int, int], ...]) -> Folder:
        """Return one folder; `above` holds device and inode of those that it lies in."""
        place = self.root / path
        try:
            status = place.stat()
            with os.scandir(place) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"folder {printable(place)} cannot be read ({error.strerror}); make it readable or remove it"
            ) from None
        here = (status.st_dev, status.st_ino)
        result = Folder(path)
        self.visits[here] = self.visits.get(here, 0) + 1
        if len(above) > DEEPEST or self.visits[here] > MOST_VISITS:
            reason = (
                f"is reached by more than {MOST_VISITS} links"
                if len(above) <= DEEPEST
                else (f"lies more than {DEEPEST} folders deep")
            )
            raise UserError(f"folder {printable(place)} {reason}; remove links that multiply folders")
        for entry in entries:
            if entry.name.startswith(DATABASE):  # our own, and what SQLite lays beside it
                continue
            inside = f"{path}/{entry.name}" if path else entry.name
            self._entry(entry, inside, result, (*above, here))
        return result

    def _entry(
        self, entry: os.DirEntry[str], path: str, into: Folder, above: tuple[tuple[int, int], ...]
    ) -> None:
        if entry.name.startswith(DATABASE):
            return  # our database
        status = self._status(entry, path)
        if status is None:
            return
        is_folder = stat.S_ISDIR(status.st_mode)
        if is_system_name(entry.name):
            if is_folder:
                self.left_out.add("hidden or system folders", _with_count(self.root / path, path))
            else:
                self.left_out.add("hidden or system files", path)
        elif is_folder:
            if (status.st_dev, status.st_ino) in above:
                self.left_out.add("links to a folder that they lie in", path)
            else:
                into.folders.append(self.folder(path, above))
        elif not stat.S_ISREG(status.st_mode):
            self.left_out.add("pipes, sockets and devices", path)
        elif entry.name.lower().endswith(UNFINISHED_ENDINGS):
            self.left_out.add("unfinished downloads and temporary files", path)
        elif not status.st_mode & stat.S_IROTH and not os.access(self.root / path, os.R_OK):
            self.left_out.add("files without permission to read", path)
        elif PurePosixPath(entry.name).suffix.lower() in IMAGE_ENDINGS:
            if status.st_size or self.keep_empty:
                into.images.append(entry.name)
            else:
                self.left_out.add("empty files", path)
        elif PurePosixPath(entry.name).suffix.lower() in UNDECODED_ENDINGS:
            into.others += 1
            self.left_out.add(
                "images in formats that cannot be read", PurePosixPath(entry.name).suffix.lower()
            )
        elif status.st_size and is_image(self.root / path):
            into.images.append(entry.name)
        else:
            into.others += 1
            self.left_out.add("files that are not images", PurePosixPath(entry.name).suffix.lower() or path)

    def _status(self, entry: os.DirEntry[str], path: str) -> os.stat_result | None:
        """Return the status of what an entry is or links to, None where it leads nowhere."""
        try:
            return entry.stat()
        except OSError as error:
            if error.errno == errno.EACCES:
                self.left_out.add("links without permission to follow", path)
            else:
                self.left_out.add("broken links", path)
            return None


def _with_count(place: Path, path: str) -> str:
    """Return the path of a folder that is left out, with the number of files in it."""
    count = sum(len(names) for _, _, names in os.walk(place))
    return f"{path}/ with {count} {'file' if count == 1 else 'files'}"


def is_image(path: Path) -> bool:
    """Return whether a regular file is an image by its first bytes, whatever its name is."""
    try:
        with Image.open(path, formats=PROBED_FORMATS):
            return True
    except Image.DecompressionBombError:
        return True  # refused when it is decoded, in words
    except Exception:  # Pillow's readers raise almost anything on bytes that are not theirs
        return False
