"""Mean and std of images among the tensors of a file, or beside them, found by the words of their names.

Detectron2 calls them `pixel_mean` and `pixel_std`, robustness `new_mean` and `new_std`, RobustBench `mu` and
`sigma`; layers that normalise `mean` and `std`, and others in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.card import IMAGENET_MEAN
from mmbench.checkpoints.stated import Channels

Triple = tuple[float, float, float]
# Means of 0 to 255 within this of ImageNet's show the order of the colours: 103.53 (blue) to 123.675 (red).
# Caffe's own networks have 102.98, 115.95 and 122.77.
NEAR = 3.0
MEANS = ("mean", "means", "mu", "mus")
STDS = ("std", "stds", "stdev", "stddev", "sd", "sds", "sigma", "sigmas")
VARIANCES = ("var", "vars", "variance", "variances")
# What may stand beside these words in the name of what is of images.
OF_IMAGES = (
    *("pixel", "pixels", "image", "images", "img", "imgs", "channel", "channels"),
    *("rgb", "bgr", "color", "colour", "input", "inputs", "in", "x", "new"),
    *("data", "dataset", "default", "imagenet", "cifar"),
    *("norm", "normalize", "normalise", "normalizer", "normaliser"),
)
# Of these, what single numbers are not called otherwise.
SURELY_OF_IMAGES = (
    *("pixel", "pixels", "image", "images", "img", "imgs", "rgb", "bgr", "imagenet", "cifar"),
    *("normalize", "normalise", "normalizer", "normaliser", "preprocessor"),
)
# What shows in the name of a module that its mean is of something else, which often has three numbers too.
OF_OTHERS = (
    *("action", "actions", "reward", "rewards", "obs", "observation", "proprio"),
    *("box", "boxes", "bbox", "bboxes", "anchor", "anchors"),
    *("pose", "poses", "joint", "joints", "keypoint", "keypoints", "point", "points", "xyz", "depth"),
    *("audio", "text", "latent", "latents", "target", "targets", "label", "labels", "output", "outputs"),
)
OF_BATCHES = ("running", "moving")  # batch norms


def order_near_imagenet(mean: Triple) -> Channels | None:
    """Return the order in which a mean of 0 to 255 is near ImageNet's, None where it is not."""
    orders: tuple[tuple[Channels, Triple], ...] = (("rgb", IMAGENET_MEAN), ("bgr", IMAGENET_MEAN[::-1]))
    for order, expected in orders:
        if all(abs(value - 255 * one) < NEAR for value, one in zip(mean, expected, strict=True)):
            return order
    return None


@dataclass(frozen=True)
class PixelStatistics:
    """A mean and a std of images.

    Attributes:
        mean_name, std_name: of the tensors.
        order: of the colours, where the names say it.
    """

    mean_name: str
    std_name: str
    mean: Triple
    std: Triple
    order: Channels | None = None

    @property
    def words(self) -> str:
        """Names and values, short."""
        return f"{self.mean_name} ({_short(self.mean)}) and {self.std_name} ({_short(self.std)})"


@dataclass(frozen=True)
class Found:
    """All that the names of tensors show.

    Attributes:
        pairs: of images, in the file's order.
        half: a phrase, where there is a mean of images alone, or one beside variances.
        unclear: a phrase that names what may be of images or of something else; empty for none.
    """

    pairs: tuple[PixelStatistics, ...] = ()
    half: str = ""
    unclear: str = ""


@dataclass(frozen=True)
class _Part:
    """A tensor of three numbers, or one for all colours, whose name has the word of a mean, std or variance.

    Attributes:
        beside: the module, and the other words of the last part of the name.
        single: whether it is one number, of which most that a file holds are of something else.
    """

    name: str
    values: Triple
    kind: str
    beside: tuple[str, ...]
    single: bool = False


def numbers_beside(content: Any) -> dict[str, Tensor]:
    """Return numbers, and lists of one or three, that lie beside the weights or in a section beside them."""
    found: dict[str, Tensor] = {}
    for name, value in content.items() if isinstance(content, dict) else ():
        inner = value.items() if isinstance(value, dict) else ()
        for key, one in ((f"{name}", value), *((f"{name}.{part}", one) for part, one in inner)):
            if isinstance(one, Tensor) and key == name and one.numel() in (1, 3):
                found[key] = one
                continue
            numbers = one if isinstance(one, list | tuple) else [one]
            if len(numbers) in (1, 3) and all(type(number) in (int, float) for number in numbers):
                found[key] = torch.tensor([float(number) for number in numbers], dtype=torch.float64)
    return found


def pixel_statistics(stored: Mapping[str, Tensor]) -> Found:
    """Return every mean with its std among tensors of three numbers or one, and what is not clear."""
    parts = [part for name, tensor in stored.items() if (part := _part(name, tensor)) is not None]
    by_place = {(part.beside, part.kind): part for part in parts}
    pairs: list[PixelStatistics] = []
    half, unclear = [], []
    for part in parts:
        if part.kind != "mean":
            continue
        std, variance = (by_place.get((part.beside, kind)) for kind in ("std", "variance"))
        of_images = _of_images(part)
        single = part.single or (std is not None and std.single)
        if std is not None and single:
            of_images = of_images and _surely_of_images(part, std)
        if std is not None and of_images:
            pairs.append(PixelStatistics(part.name, std.name, part.values, std.values, _order(part)))
        elif std is None and single:
            continue  # one number of that name alone is of anything
        elif std is not None:
            unclear.append(f"{part.name} and {std.name}")
        elif of_images and variance is not None:
            half.append(f"it holds {part.name} and {variance.name}, which may be variances or a std")
        elif of_images and not part.name.endswith(("mu", "mus")) and min(part.values) >= 0:
            half.append(f"it holds {part.name} without a std of the same name")
    return Found(tuple(pairs), "" if pairs or not half else half[0], ", ".join(unclear[:2]))


def _part(name: str, tensor: Tensor) -> _Part | None:
    """Return what a tensor is by its name; None where it is no mean, std or variance of three numbers."""
    if tensor.numel() not in (1, 3) or not _is_plain(tensor):
        return None
    module, _, last = name.rpartition(".")
    words = _words(last)
    kinds = {"mean": MEANS, "std": STDS, "variance": VARIANCES}
    found = [(kind, word) for word in words for kind, known in kinds.items() if word in known]
    if len(found) != 1 or any(word in OF_BATCHES for word in words):
        return None
    kind, word = found[0]
    beside = (module, *(other for other in words if other != word))
    numbers: list[float] = tensor.detach().to(torch.float64).flatten().tolist()
    single = len(numbers) == 1
    first, second, third = numbers * 3 if single else numbers
    return _Part(name, (first, second, third), kind, beside, single)


def _surely_of_images(mean: _Part, std: _Part) -> bool:
    """Return whether single numbers are of images: their name says so, or they lie at the top and can be."""
    module, *others = mean.beside
    if {*others, *_words(module)} & {*SURELY_OF_IMAGES}:
        return True
    return not module and 0 <= mean.values[0] <= 1 and 0 < std.values[0] <= 1


def _of_images(part: _Part) -> bool:
    """Return whether a mean is of images, as far as its name shows."""
    module, *others = part.beside
    named = {word for word in others if not word.isdigit()}
    return named <= {*OF_IMAGES} and {*OF_OTHERS}.isdisjoint(_words(module))


def _order(part: _Part) -> Channels | None:
    """Return the order of the colours that a name says."""
    words = _words(part.name)
    if ("rgb" in words) == ("bgr" in words):
        return None
    return "rgb" if "rgb" in words else "bgr"


def _words(text: str) -> list[str]:
    """Return the words of a name in lower case: `imageMean` and `image_mean` are two each."""
    return re.findall(r"[a-z]+|[0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text).lower())


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_complex()


def _short(values: Triple) -> str:
    return ",".join(f"{value:g}" for value in values)
