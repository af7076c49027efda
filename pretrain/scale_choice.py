"""Which scale fits a data set: by its name, or by the size and the number of its images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmbench.data.manifest import manifest
from mmbench.file_names import printable
from mmbench.pretrain.recipes.files import DEFAULT_SCALE, Scale, scales

if TYPE_CHECKING:
    from mmbench.data import Dataset


class Choice(NamedTuple):
    """A scale, and in a few words why it fits the data."""

    scale: Scale
    reason: str


class ImageFacts(NamedTuple):
    """What a choice depends on: median short side in pixels (None: not known), number of images."""

    side: int | None
    images: int

    def __str__(self) -> str:
        """Return "4,000 images of 32 px"."""
        size = "" if self.side is None else f" of {self.side} px"
        return f"{self.images:,} image{'s' if self.images != 1 else ''}{size}"


def scale_for_name(data: str) -> Choice | None:
    """Return the scale that is made for a data set; None where its name is not known."""
    for scale in scales().values():
        if data in scale.data:
            return Choice(scale, f"{data} is a data set of this scale")
    return None


def scale_for_images(facts: ImageFacts) -> Choice:
    """Return the scale that fits images: of those that fit, the one for the largest data sets."""
    small = scales()[DEFAULT_SCALE]
    if facts.side is None:
        return Choice(small, f"the size of the {facts} cannot be determined")
    fitting = [scale for scale in scales().values() if scale.fits(facts.side, facts.images)]
    if fitting:
        return Choice(max(fitting, key=lambda scale: scale.images), f"it fits {facts}")
    larger = next(scale for scale in scales().values() if scale.fits(facts.side, scale.images))
    return Choice(small, f"{facts} are too few for {larger.name} (from {larger.images:,} images)")


def known_facts(data: str) -> ImageFacts | None:
    """Return what the manifest of a data set states, without reading an image; None if it does not."""
    known = manifest(data)
    if known is None:
        return None
    train = known.splits["train"]
    images = train.images or known.official.get(train.part)
    return None if images is None else ImageFacts(known.image_size, images)


def facts_of(dataset: Dataset) -> ImageFacts:
    """Return size and number of the training images of a data set that is open."""
    from mmbench.data.images.sides import sides  # imports torch

    found = sides(dataset, "train")
    images = len(dataset.files["train"]()) if "train" in dataset.files else len(dataset.split("train"))
    return ImageFacts(None if found is None else found.median, images)


def scale_for(data: str, root: Path, dataset: Dataset | None = None) -> tuple[Choice, Dataset | None]:
    """Return the scale that fits a data set, and the data set where it had to be opened.

    Args:
        data: a name or a path.
        root: the folder with one folder per data set.
        dataset: used instead of opening `data`.

    Raises:
        UserError: the data set is not known, or not there.
    """
    by_name = scale_for_name(data)
    if by_name is not None:
        return by_name, dataset
    facts = known_facts(data) if dataset is None else None
    if facts is None:
        from mmbench.pretrain.sources.opening import open_images

        dataset = dataset or open_images(data, root)
        facts = facts_of(dataset)
    return scale_for_images(facts), dataset


def misfit(scale: Scale, data: str, choice: Choice) -> str | None:
    """Return a warning where the scale that was asked for is not the one that fits the data."""
    if scale.name == choice.scale.name:
        return None
    return (
        f"scale {scale.name} does not fit {printable(data)}: {choice.reason}; "
        f"without --scale it is {choice.scale.name}"
    )
