"""Mean, std, colour order and size of images: from the first source that states them, with an origin each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from mmbench.checkpoints.card import OWN_IMAGES, ModelCard
from mmbench.checkpoints.format import Format
from mmbench.checkpoints.images.evidence import EQUAL
from mmbench.checkpoints.images.processor import FLIPPED, PROCESSOR, Processor
from mmbench.checkpoints.images.timm_config import (
    RECORDED,
    default_size,
    half_in,
    not_followed,
    preprocessing_in,
    unequal_sides,
)
from mmbench.checkpoints.known import Known
from mmbench.checkpoints.stated import Channels, Stated
from mmbench.errors import UserError

IMAGENETS = "mean and std of ImageNet, colours as RGB: "
ASSUMED = f"{IMAGENETS}the file says nothing of them (--mean, --std, --channels)"
ASSUMED_UNCLEAR = IMAGENETS + "whether {} are of images is not clear (--mean, --std, --channels)"
OF_ARCHITECTURE = "default of the architecture"


@dataclass(frozen=True)
class Images:
    """Values of a Preprocessing, and the order of the colours that the first convolution expects.

    Attributes:
        in_rgb: whether mean and std are in the order RGB; otherwise in the order of `channels`.
        stated: whether mean and std are more than an assumption.
    """

    values: dict[str, Any]
    channels: Channels | None = "rgb"
    in_rgb: bool = True
    stated: bool = False


def images_of_card(card: ModelCard) -> Images:
    """Return what our own card says."""
    return Images(card.preprocessing.model_dump())


def images_of_file(known: Known, arch: str, origins: dict[str, str], assumed: list[str]) -> Images:
    """Return what the file and timm's configuration beside it show; ImageNet's numbers where nothing does.

    Raises:
        UserError: the configuration states a mean without a std, or the reverse, and nobody states both.
    """
    values: dict[str, Any] = {"image_size": default_size(arch)}
    origins["preprocessing"] = "ImageNet mean and std, since the file names none"
    origins["image_size"] = OF_ARCHITECTURE
    images = Images(values)
    usual = known.entry.preprocessing
    if usual is not None:
        images = replace(images, channels=known.entry.channels, stated=_is_usual(known.entry, arch))
    if usual is not None and images.stated:
        values |= {"mean": usual.mean, "std": usual.std}
        origins["preprocessing"] = f"every {known.entry.name} file of {arch} needs it"
    if known.config:
        if (half := half_in(known.config)) and known.stated.mean is None:
            raise UserError(f"{known.weights}: {half}; state both by --mean and --std")
        found, origin = preprocessing_in(known.config, known.weights, known.config_origin)
        values |= found
        origins |= not_followed(known.config, origin)
        if "mean" in found:
            origins["preprocessing"] = origin
            images = replace(images, stated=True)
        if "image_size" in found:
            origins["image_size"] = origin
            sides = unequal_sides(known.config) if origin != RECORDED else ""
            if sides and known.stated.image_size is None:
                side = found["image_size"]
                assumed.append(f"images of {side} x {side} px: {origin} states {sides} (--image-size)")
        if origin == RECORDED and found.get("crop_pct") is not None:
            origins["crop_pct"] = OWN_IMAGES  # only our own pretraining records it there
    if known.processor:
        images = _with_processor(images, known, known.processor, origins, assumed)
    evidence = known.evidence
    if evidence.mean is not None and evidence.std is not None:
        values |= {"mean": evidence.mean, "std": evidence.std}
        images = replace(images, channels=evidence.channels, in_rgb=False, stated=True)
        origins["preprocessing"] = evidence.normalisation_origin
    if images.channels == "bgr":
        why = origins["preprocessing"] if images.stated else f"as in every {known.entry.name} file"
        origins["channels"] = f"BGR: {why}"
    if not images.stated:
        assumed.append(ASSUMED_UNCLEAR.format(evidence.unclear) if evidence.unclear else ASSUMED)
    return images


def _with_processor(
    images: Images, known: Known, processor: Processor, origins: dict[str, str], assumed: list[str]
) -> Images:
    """Return the images with what transformers' processor states; config.json wins, which origins say.

    Raises:
        UserError: it states a mean without a std, or the reverse, or BGR, and nobody states the rest.
    """
    from_config = preprocessing_in(known.config, known.weights)[0] if known.config else {}
    found = dict(processor.values)
    if processor.half and "mean" not in from_config and known.stated.mean is None:
        raise UserError(
            f"{known.weights}: {PROCESSOR} states {processor.half} of its images alone; state both by --mean "
            "and --std"
        )
    if processor.flipped and known.stated.channels is None:
        raise UserError(
            f"{known.weights}: {PROCESSOR} turns images to BGR ({FLIPPED}); state --channels bgr, or "
            "--channels rgb for weights that were turned to RGB"
        )
    assumed += [
        phrase for phrase in processor.unused if known.stated.image_size is None or "size=" not in phrase
    ]
    for name in from_config.keys() & found.keys():
        value = found.pop(name)
        if not _is_near(value, from_config[name]):
            written = ", ".join(f"{one:.6g}" for one in (value if isinstance(value, tuple) else (value,)))
            before = origins.get(name, f"that of {known.config_origin}")
            origins[name] = f"{before}; {PROCESSOR} states {written}"
    if "mean" in found:
        origins["preprocessing"] = PROCESSOR
        images = replace(images, stated=True)
    origins |= {name: PROCESSOR for name in ("image_size", "crop_pct") if name in found}
    otherwise = dict(processor.otherwise)
    if from_config.get("crop_pct") is not None:
        otherwise.pop("crop_pct", None)
    origins |= {name: words for name, words in otherwise.items() if name not in origins}
    return replace(images, values=images.values | found)


def _is_near(one: Any, other: Any) -> bool:
    """Return whether two values are equal but for the rounding of what is written with few digits."""
    ours, theirs = (value if isinstance(value, list | tuple) else (value,) for value in (one, other))
    return len(ours) == len(theirs) and all(
        isinstance(b, int | float) and math.isclose(a, b, abs_tol=EQUAL)
        for a, b in zip(ours, theirs, strict=True)
    )


def _is_usual(entry: Format, arch: str) -> bool:
    """Return whether a network needs the images that its format says."""
    name = arch.partition(".")[0]
    return any(fnmatchcase(name, pattern) for pattern in entry.preprocessing_of)


def with_stated(images: Images, stated: Stated, origins: dict[str, str], assumed: list[str]) -> Images:
    """Return the images as the user states them, which wins."""
    if stated.mean is not None and stated.std is not None:
        values = images.values | {"mean": stated.mean, "std": stated.std}
        images = replace(images, values=values, in_rgb=False)
        unit = f" ({stated.unit})" if stated.unit else ""
        origins["preprocessing"] = f"stated by --mean and --std{unit}"
        assumed[:] = [phrase for phrase in assumed if not phrase.startswith(IMAGENETS)]
        if stated.channels is None and images.channels == "rgb":
            origins["channels"] = "RGB, since --channels does not say otherwise"
    if stated.channels is not None:
        images = replace(images, channels=stated.channels)
        origins["channels"] = f"{stated.channels.upper()}: stated by --channels"
    if stated.image_size is not None:
        images = replace(images, values=images.values | {"image_size": stated.image_size})
        origins["image_size"] = "asked for by --image-size"
    return images
