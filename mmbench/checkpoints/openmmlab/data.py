"""In which colour order the data sets of an OpenMMLab configuration give their images.

Steps that load files give BGR, as OpenCV does. The CIFAR data sets hold RGB arrays and load nothing, so that
mmpretrain's own `to_rgb=False` means RGB there. Sources: mmcv/transforms/loading.py;
mmpretrain/datasets/cifar.py and configs/_base_/datasets/cifar10_bs16.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmbench.checkpoints.images.pixel_statistics import order_near_imagenet
from mmbench.checkpoints.openmmlab.images import LOADERS, Normalisation, dicts
from mmbench.checkpoints.stated import Channels

RGB_ARRAYS = ("CIFAR10", "CIFAR100")
LOADING_STEPS = ("LoadImageFromFile", "LoadImage", "LoadMultiImagesFromFile")
BGR_DECODERS = ("cv2", "turbojpeg", "pillow")  # mmcv turns what Pillow decodes; tifffile's it leaves


@dataclass(frozen=True)
class Loaded:
    """The order in which images are loaded, None where it is open, and a phrase that says why."""

    order: Channels | None
    words: str


def loaded_order(settings: Mapping[str, Any]) -> Loaded:
    """Return the order in which the data sets of a configuration give images, before any step turns them.

    The loaders and `data` count; variables such as `dataset_type` and `train_pipeline` only where these name
    no data set that is known.
    """
    running = [place for name in (*LOADERS, "data") if name in settings for place in _orders(settings[name])]
    found = running or list(_orders(settings))
    orders = {order for order, _ in found}
    if len(orders) == 1 and None not in orders:
        return Loaded(*found[0])
    if not found:
        return Loaded(None, "its data set is neither read from files nor known here")
    listing = ", ".join(dict.fromkeys(words for _, words in found))
    return Loaded(None, f"the order of its data sets' colours is open: {listing}")


def fed_order(images: Normalisation, loaded: Loaded) -> Channels | None:
    """Return the order of the colours that a network of this configuration sees; None where it is open.

    Of an unknown data set a turn to RGB, and a mean that is ImageNet's in BGR, are taken at their word.
    """
    if images.to_rgb is None:
        return None
    if loaded.order is None:
        if images.to_rgb:
            return "rgb"
        return "bgr" if order_near_imagenet(images.mean) == "bgr" else None
    if images.of_pillow:
        return "rgb"
    return "rgb" if images.to_rgb == (loaded.order == "bgr") else "bgr"


def _orders(value: Any) -> Iterator[tuple[Channels | None, str]]:
    """Yield the order that every data set and every step that loads images gives, with its name."""
    for _, part in dicts(value):
        names = (str(part.get(key, "")).rpartition(".")[2] for key in ("type", "dataset_type"))
        for name in names:
            if name in RGB_ARRAYS:
                yield "rgb", f"{name} holds RGB arrays"
            elif name in LOADING_STEPS:
                yield _of_step(part), f"{name} loads files"


def _of_step(step: Mapping[str, Any]) -> Channels | None:
    """Return the order in which a step that loads images gives them."""
    if step.get("imdecode_backend", "cv2") not in (*BGR_DECODERS, None):
        return None
    order = step.get("channel_order", "bgr")
    return order if order in ("rgb", "bgr") else None
