"""What a loader must return for a split: refused in one line where it is anything else.

Other values would be measured too, as other images or with other labels than the data set's.
"""

from __future__ import annotations

from pathlib import Path

import torch

from mmbench.data.known_splits import KnownSplit
from mmbench.data.types import ImageFiles, ImageSplit
from mmbench.errors import UserError, shown


def check_split(part: ImageSplit | ImageFiles, where: str) -> None:
    """Check kind and number of images and labels: see `ImageSplit` and `ImageFiles`.

    Args:
        where: the split, for messages: "the train split of 'patterns'".

    Raises:
        UserError: see above.
    """
    in_memory = isinstance(part, ImageSplit) and not isinstance(part, KnownSplit)  # of that, files were read
    if isinstance(part, ImageSplit) and in_memory:
        _check_images(part.images, where)
    _check_labels(part.labels, where)
    if isinstance(part, ImageFiles):
        images = len(part.paths)
    else:
        images = len(part.images) if in_memory else len(part.labels)
    if not images:
        raise UserError(f"{where} has no images; add some, or leave the split out")
    if len(part.labels) != images:
        raise UserError(
            f"{where} has {images} images and {len(part.labels)} labels; give one label per image"
        )


def check_classes(classes: tuple[str, ...], name: str) -> None:
    """Check that there are classes, and that each has a name of its own.

    Raises:
        UserError: no class, or a name that is there twice or is not text.
    """
    if not classes:
        raise UserError(f"data set '{name}' has no classes; name one at least")
    other = next((one for one in classes if not isinstance(one, str)), None)
    if other is not None:
        raise UserError(f"class {shown(other)} of data set '{name}' is not text; give each class a name")
    if len(set(classes)) < len(classes):
        twice = next(one for place, one in enumerate(classes) if one in classes[:place])
        raise UserError(
            f"data set '{name}' has two classes called {shown(twice)}; give each class a name of its own"
        )


def check_range(
    part: ImageSplit | ImageFiles, classes: int, multilabel: bool, where: str, root: Path
) -> None:
    """Check shape and values of the labels.

    Args:
        classes: how many there are.
        multilabel: whether an image can show several.
        where: the split, for messages.
        root: the folder of the data set.

    Raises:
        UserError: a label out of range, or labels of another shape.
    """
    labels = part.labels
    low, high = (-1, 1) if multilabel else (0, classes - 1)
    if labels.shape != ((len(part), classes) if multilabel else (len(part),)):
        raise UserError(
            f"labels of shape {tuple(labels.shape)} in {where} do not fit "
            f"{len(part)} images and {classes} classes; fix the files in {root}"
        )
    if int(labels.min()) < low or int(labels.max()) > high:
        bad = int(labels.max()) if int(labels.max()) > high else int(labels.min())
        raise UserError(
            f"label {bad} in {where} is not one of its {classes} classes; fix the files in {root}"
        )


def _check_images(images: object, where: str) -> None:
    start = f"the images of {where} must be a CPU tensor, uint8 (N, 3, H, W), and are"
    if not isinstance(images, torch.Tensor):
        raise UserError(f"{start} {_kind(images)}; {_tensor_of(images, 'images')}")
    found = f"{_dtype(images)} of shape {tuple(images.shape)}"
    if images.dtype != torch.uint8:
        how = "(255 * images).round().to(torch.uint8) where they are from 0 to 1"
        if not images.dtype.is_floating_point:
            how = "images.to(torch.uint8) where they are from 0 to 255"
        raise UserError(f"{start} {found}; use {how}")
    if images.ndim != 4 or images.shape[1] != 3 or not min(images.shape[2:]):
        raise UserError(f"{start} {found}; {_to_three_channels(images)}")
    if images.device.type != "cpu":
        raise UserError(f"{start} on {images.device}; use images.cpu()")


def _to_three_channels(images: torch.Tensor) -> str:
    """Return how images of another shape become (N, 3, H, W)."""
    if images.ndim == 3:
        return "use images.unsqueeze(1).repeat(1, 3, 1, 1) where they are grey (N, H, W)"
    if images.ndim == 4 and images.shape[1] == 1:
        return "use images.repeat(1, 3, 1, 1), as they are grey"
    if images.ndim == 4 and images.shape[3] in (3, 4):
        return "use images[..., :3].permute(0, 3, 1, 2), as their channels are last"
    if images.ndim == 4 and images.shape[1] == 4:
        return "use images[:, :3] where the fourth channel is opacity"
    return "give three channels: red, green and blue"


def _check_labels(labels: object, where: str) -> None:
    start = f"the labels of {where} must be a CPU tensor, int64, and are"
    if not isinstance(labels, torch.Tensor):
        raise UserError(f"{start} {_kind(labels)}; {_tensor_of(labels, 'labels')}")
    if labels.dtype != torch.int64:
        raise UserError(f"{start} {_dtype(labels)}; use labels.long() where they are whole numbers")
    if labels.device.type != "cpu":
        raise UserError(f"{start} on {labels.device}; use labels.cpu()")
    if not labels.ndim:
        raise UserError(f"{start} a single number; give one label per image")


def _kind(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _tensor_of(value: object, name: str) -> str:
    return f"use torch.{'from_numpy' if type(value).__module__ == 'numpy' else 'tensor'}({name})"
