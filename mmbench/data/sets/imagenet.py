"""ImageNet-1K as torchvision unpacks it, and ImageNet-100, the part of it that a class list names."""

from __future__ import annotations

import functools
from pathlib import Path

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.folder import carved_from, class_folders, class_names, files_directly_in, image_files
from mmbench.data.lists.text_lists import numbered_lines
from mmbench.data.manifest import class_remarks
from mmbench.data.official import NOT_COMPARABLE
from mmbench.data.preparing import before_writing
from mmbench.errors import UserError
from mmbench.file_names import IMAGE_ENDINGS, counted, listed, printable

IMAGE_SIZE = 224
HELD_OUT_SHARE = 0.01  # of train, for choosing hyperparameters: 13 images per class
CLASS_LIST = "classes.txt"
LISTED = 100  # classes of ImageNet-100
DEVKIT, DEVKIT_READ = "ILSVRC2012_devkit_t12.tar.gz", "meta.bin"  # torchvision makes the second of the first
ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}


def _unpack(root: Path) -> None:
    """Let torchvision unpack the official archives in `root`, checked by its MD5 sums.

    Raises:
        UserError: neither the folders nor the archives are there, an archive is damaged, or unpacking was
            interrupted earlier.
        NotPreparedError: nothing may be written.
    """
    import torchvision

    for split in ARCHIVES:
        if (root / split).is_dir():
            _require_unpacked(root, split)
            continue
        _require_archives(root, split)
        try:
            torchvision.datasets.ImageNet(str(root), split=split)
        except (RuntimeError, OSError) as error:
            raise _not_there(root, " ".join(str(error).split())[:160]) from None


def _require_archives(root: Path, split: str) -> None:
    """Check that a split can be unpacked.

    Raises:
        UserError: an archive is missing.
        NotPreparedError: nothing may be written.
    """
    devkit = () if (root / DEVKIT_READ).is_file() else (DEVKIT,)
    if missing := [name for name in (*devkit, ARCHIVES[split]) if not (root / name).is_file()]:
        raise _not_there(root, f"there is no {' and no '.join(missing)}")
    before_writing(f"{printable(root / split)} is not there yet; a run unpacks {ARCHIVES[split]} first")


def _not_there(root: Path, reason: str) -> UserError:
    return UserError(
        f"imagenet is not in {root} ({reason}); put {DEVKIT}, {ARCHIVES['train']} and {ARCHIVES['val']} "
        "there, or train/ and val/ with one folder per class"
    )


def _require_unpacked(root: Path, split: str) -> None:
    """Check that nothing lies beside the class folders that unpacking moves into them at its end.

    Each class of train is an archive in the official one, and is removed when it is unpacked; val is unpacked
    into one folder and then sorted. Only the folder itself is listed.

    Raises:
        UserError: images, or in train archives of classes, lie beside the class folders.
    """
    folder = root / split
    endings, what = (*IMAGE_ENDINGS, ".tar") if split == "train" else IMAGE_ENDINGS, "image"
    left = [name for name in files_directly_in(folder, endings) if name != ARCHIVES[split]]
    if not left:
        return
    way = "sort them into the class folders"
    if archives := [name for name in left if name.lower().endswith(".tar")]:
        left, what = archives, "archive"
        way = "unpack each into a folder of its name and remove it"
    if (root / ARCHIVES[split]).is_file():
        way = (
            f"remove {printable(folder)} and run again, so that {ARCHIVES[split]} is unpacked anew, or {way}"
        )
    raise UserError(
        f"{counted(len(left), what)} beside the class folders in {printable(folder)} ({listed(left)}): its "
        f"unpacking was not finished; {way}"
    )


def _load(name: str, root: Path, classes: tuple[str, ...], remarks: tuple[str, ...]) -> Dataset:
    train = functools.partial(image_files, root / "train", classes)
    test = functools.partial(image_files, root / "val", classes)
    files = {**carved_from(train, HELD_OUT_SHARE), "test": test}
    return Dataset(name, root, classes, image_size=IMAGE_SIZE, files=files, remarks=remarks)


@DATASETS.register("imagenet")
def load_imagenet(root: Path) -> Dataset:
    """Return ImageNet-1K: its val images are the test split, 1% of each class of train are val.

    Raises:
        UserError: the files are missing or damaged; val has a class that train lacks.
    """
    _unpack(root)
    classes = class_names(root / "train")
    if untrained := sorted(set(class_folders(root / "val")) - set(classes)):
        raise UserError(
            f"{root / 'val'} has {counted(len(untrained), 'class')} that train lacks ({listed(untrained)}); "
            "add them to train, or remove them"
        )
    return _load("imagenet", root, classes, class_remarks("imagenet", len(classes)))


@DATASETS.register("imagenet-100")
def load_imagenet_100(root: Path) -> Dataset:
    """Return the classes of ImageNet that `root`/classes.txt lists, one folder name per line.

    Images are looked for in `root` and then in `imagenet` beside it. Published lists of 100 classes
    differ, so none is built in: take that of the work to compare with.

    Raises:
        UserError: no list, or one that is not UTF-8; a class listed twice or not in ImageNet; files that are
            missing.
    """
    listing = root / CLASS_LIST
    if not listing.is_file():
        raise UserError(
            f"{listing} is missing; write the folder names of the 100 classes there (n01440764, ...), one "
            "per line; published lists differ, so take that of the work to compare with"
        )
    lines = [line.split()[0] for _, line in numbered_lines(listing)]
    classes = tuple(sorted(set(lines)))
    if len(classes) != len(lines) or not classes:
        raise UserError(
            f"{listing} must name each class once; it has {len(lines)} lines, {len(classes)} names"
        )
    source = root if (root / "train").is_dir() else root.parent / "imagenet"
    _unpack(source)
    unknown = sorted(set(classes) - set(class_names(source / "train")))
    if unknown:
        raise UserError(f"{listing}: not in {source / 'train'}: {', '.join(unknown[:5])}")
    remark = f"{CLASS_LIST} names {counted(len(classes), 'class')}, where ImageNet-100 has {LISTED}"
    remarks = () if len(classes) == LISTED else (f"{remark}: {NOT_COMPARABLE}",)
    return _load("imagenet-100", source, classes, remarks)
