"""Where the label file of an image is in a YOLO folder, and label files whose image is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from mmbench.data.annotated.walking import files_below, is_image_name
from mmbench.data.lists.text_lists import decoded

NAME_LISTS = ("classes.txt", "labels.txt", "obj.names", "names.txt")
# What else lies beside images: labels and lists, settings, and what trainers keep of images that they read.
BESIDE_IMAGES = (".txt", ".yaml", ".yml", ".cache", ".npy")
FEWEST_WORDS = 5  # of a line with an object
FIRST_BYTES = 4096  # of a file, in which its first line is looked for


def labels_of(root: Path, image: str) -> str:
    """Return where the label file of an image is: in labels/ instead of images/, or else beside it.

    >>> labels_of(Path("nowhere"), "images/train/1.jpg")
    'labels/train/1.txt'
    """
    stem = image.rpartition(".")[0]
    elsewhere, beside = f"{_exchanged(stem, 'images', 'labels')}.txt", f"{stem}.txt"
    return beside if not (root / elsewhere).is_file() and (root / beside).is_file() else elsewhere


def labels_without_image(
    root: Path, folders: Iterable[str], images: Collection[str]
) -> list[tuple[str, str]]:
    """Return label files that belong to no image, each with a file of its name that is no image, or "".

    Args:
        root: the folder that paths are below.
        folders: those of the images.
        images: all that are there.
    """
    stems = {image.rpartition(".")[0] for image in images}
    tops = ["" if folder == "." else folder for folder in folders]
    places = [place for folder in tops for place in (folder, _exchanged(folder + "/", "images", "labels"))]
    found: dict[str, str] = {}
    others: dict[str, str] = {}
    for place in dict.fromkeys(place.strip("/") for place in places):
        if not (root / place).is_dir():
            continue
        for below in files_below(root / place):
            path = f"{place}/{below}" if place else below
            stem, _, ending = path.rpartition(".")
            if ending != "txt" and not is_image_name(path):
                others.setdefault(stem, path)
            elif ending == "txt" and _is_label_file(root, path):
                found[path] = _exchanged(stem, "labels", "images")
    return [
        (path, others.get(image, others.get(path.rpartition(".")[0], "")))
        for path, image in found.items()
        if image not in stems and path.rpartition(".")[0] not in stems
    ]


def unread_beside(files: Iterable[str], images: Iterable[str]) -> list[str]:
    """Return the files in folders of images that are not read, such as images of other types.

    Args:
        files: paths below the root, as those of the images.
    """
    folders = {image.rpartition("/")[0] for image in images}
    return [
        file
        for file in dict.fromkeys(files)
        if file.rpartition("/")[0] in folders
        and not is_image_name(file)
        and not file.lower().endswith(BESIDE_IMAGES)
    ]


def _exchanged(path: str, old: str, new: str) -> str:
    """Return a path whose last folder called `old` is called `new`."""
    parts = path.split("/")
    places = [place for place, part in enumerate(parts[:-1]) if part.lower() == old]
    if places:
        parts[places[-1]] = new
    return "/".join(parts)


def _is_label_file(root: Path, path: str) -> bool:
    """Return whether a text file holds labels: all in a folder of labels do, others if they look like it."""
    *folders, name = path.split("/")
    if name in NAME_LISTS:
        return False
    if "labels" in map(str.lower, folders):
        return True
    try:
        with (root / path).open("rb") as stream:
            beginning = decoded(stream.read(FIRST_BYTES), "ignore")
        words = next(iter(beginning.splitlines()), "").split()
        return len(words) >= FEWEST_WORDS and all(float(word) is not None for word in words)
    except (OSError, ValueError):
        return False
