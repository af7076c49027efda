"""The images of data sets for detection and segmentation, for what looks at images alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch

from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.annotated.walking import files_below, is_image_name
from mmbench.data.dataset import Dataset
from mmbench.data.folder import UNLABELLED
from mmbench.data.images.sides import sides_of_files
from mmbench.data.types import SPLITS, ImageFiles, Scenes, Split
from mmbench.errors import UserError

LARGEST_FED = 224  # px: images of dense data are larger, and backbones are usually fed this size


def plain_images(dataset: Dataset) -> Dataset:
    """Return a data set with splits of images: itself, or the images of its boxes or masks without labels.

    They are fed at their median short side, and at 224 px at most.

    Raises:
        UserError: annotations that cannot be used, or no training images.
    """
    if dataset.splits:
        return dataset
    files: dict[str, Callable[[], ImageFiles]]
    annotated = dataset.annotated or dataset.label_maps
    if annotated is not None:
        files = _of_annotated(annotated)
    elif dataset.scenes is not None:
        files = _of_scenes(dataset.scenes)
    else:
        return dataset
    remark = f"images of '{dataset.name}' are used without labels, as it has boxes or masks and no classes"
    plain = Dataset(dataset.name, dataset.root, UNLABELLED, files=files, remarks=(*dataset.remarks, remark))
    if "train" not in plain.files or not len(plain.files["train"]()):
        raise UserError(f"data set '{dataset.name}' at {dataset.root} has no training images")
    found = sides_of_files(plain.files["train"]())
    size = LARGEST_FED if found is None else min(LARGEST_FED, found.median)
    return Dataset(
        plain.name, plain.root, plain.classes, image_size=size, files=plain.files, remarks=plain.remarks
    )


def _of_annotated(data: AnnotatedData) -> dict[str, Callable[[], ImageFiles]]:
    found: dict[str, Callable[[], ImageFiles]] = {}
    seen = []
    for split in SPLITS[::-1]:  # where one part of the data is val and test, it is called test
        finder = data.finders.get(split)
        if finder is not None and finder not in seen:
            seen.append(finder)
            found[split] = functools.partial(_annotated_files, data, split)
    return found


def _annotated_files(data: AnnotatedData, split: Split) -> ImageFiles:
    part = data.split(split)
    require_usable(part.findings)
    return _unlabelled(part.root, [image.path for image in part.images])


def _of_scenes(scenes: Scenes) -> dict[str, Callable[[], ImageFiles]]:
    return {
        split: functools.partial(_scene_files, scenes, split)
        for split in SPLITS
        if scenes.images(split).is_dir()
    }


def _scene_files(scenes: Scenes, split: Split) -> ImageFiles:
    folder = scenes.images(split)
    return _unlabelled(folder, list(filter(is_image_name, files_below(folder))))


def _unlabelled(root: Path, paths: list[str]) -> ImageFiles:
    return ImageFiles(root, paths, torch.zeros(len(paths), dtype=torch.int64))
