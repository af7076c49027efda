"""Open data sets by name or by path, with or without labels, and download them."""

from __future__ import annotations

from pathlib import Path

from mmbench.data.annotated.layout import Layout, find_own, require_layout
from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.downloads import DAMAGED_ARCHIVE, DOWNLOADS, UNPACKED, fetch, require_unpacked
from mmbench.data.folder import load_folder
from mmbench.data.lists.image_list import load_image_list
from mmbench.data.manifest import manifest
from mmbench.data.needed_files import place_of
from mmbench.data.official import PUBLISHED
from mmbench.data.packs.header import is_pack
from mmbench.data.packs.reading import load_pack
from mmbench.data.preparing import fetch_later, nothing_is_written, require_fetched
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.one_call import once_per_call


def download_dataset(name: str, root: Path = Path("data")) -> None:
    """Download the data set `name` into `root/name`, unless it is complete there or nothing may be written.

    Raises:
        UserError: its authors do not offer a download, an earlier one was interrupted while it was unpacked,
            or the download failed.
    """

    if name not in DOWNLOADS:
        DATASETS.get(name)
        known = manifest(name)
        archives = PUBLISHED.get(name)[0].archives if name in PUBLISHED.names() else ""
        raise UserError(
            f"data set '{name}' cannot be downloaded here (only {', '.join(DOWNLOADS)}); "
            f"put {known.obtain if known else archives or 'its files'} into {root / name} and omit --download"
        )
    if nothing_is_written():
        if name in UNPACKED:
            require_unpacked(name, root / name)
        place = place_of(name, root)
        if place is None or place.missing:
            fetch_later(name, f"{name} is not in {printable(root / name)} yet; a run downloads it first")
        return
    try:
        fetch(name, root / name)
    except DAMAGED_ARCHIVE as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"an archive of '{name}' below {root / name} is damaged or cut off ({reason}); "
            "remove it and what was unpacked from it, and run this again"
        ) from None
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"the download of '{name}' failed ({reason}); check the network, or put its files "
            f"into {root / name}"
        ) from None
    load_dataset.cache_clear()


@once_per_call(4)
def load_dataset(name: str, root: Path = Path("data"), layout: str | None = None) -> Dataset:
    """Return the data set called `name`, found in `root/name`; or the images in the folder `name`.

    A name that contains a path separator or names an existing folder is read as a folder: of images with
    annotations in COCO, VOC or YOLO layout, of images with label maps, or of class folders; or as a packed
    copy (`mmbench data pack`). An existing file is read as a list of images, which have no labels.

    One command, or one call of the Python API, opens a data set once; the next one looks at the files anew.

    Args:
        layout: "coco", "voc", "yolo", "mmseg", "masks" or "folder" (class folders), of a folder; recognised
            by default.

    Raises:
        UserError: unknown name (near match named), files that are missing or unreadable, or a folder that can
            be read in two ways.
    """
    path = image_path(name, root)
    chosen = None if layout is None else require_layout(layout)
    if path is not None:
        return _of_path(path, labelled=True, layout=chosen)
    if layout is not None:
        raise UserError(f"--layout is for a folder of your own, and '{name}' is a data set; omit --layout")
    try:
        load = DATASETS.get(name)
    except UserError as error:
        raise UserError(f"{error}, and there is no such folder or list") from None
    require_fetched(name)
    require_unpacked(name, root / name)
    return load(root / name)


def load_images(path: Path) -> Dataset:
    """Return images for training without labels: the train split of the folder `path`, or of a list.

    If a folder gives no clear labels, all its images are the train split.

    Raises:
        UserError: no images, or a folder in which it is unclear which images are for training.
    """
    return _of_path(path, labelled=False)


def image_path(name: str, root: Path) -> Path | None:
    """Return the folder of images or the list that `name` stands for, None if it names a data set."""
    if name == "folder":
        return root / name
    return Path(name) if name not in DATASETS.names() and ("/" in name or Path(name).exists()) else None


def _of_path(path: Path, *, labelled: bool, layout: Layout | None = None) -> Dataset:
    if path.is_file():
        if layout is not None:
            raise UserError(f"--layout is for a folder, and {printable(path)} is a list of images; omit it")
        return load_image_list(path)
    if is_pack(path):
        if layout is not None:
            raise UserError(
                f"--layout is for a folder of images, and {printable(path)} is a packed copy; omit it"
            )
        return load_pack(path)
    own = find_own(path, layout) if labelled else None
    data = None if own is None else own.annotated or own.label_maps
    if own is not None and data is not None:
        return Dataset(
            data.name,
            data.root,
            data.classes,
            annotated=own.annotated,
            label_maps=own.label_maps,
            unread=own.unread,
        )
    return load_folder(path, labelled=labelled)
