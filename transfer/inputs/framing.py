"""How evaluation frames an image: the size it is resized to before its centre crop is fed.

timm's crop_pct is the share of the resized short side that is fed. Weights or a protocol may state it; where
neither does, the images decide: those that are not larger than the fed size are fed whole, since a centre
crop of an enlarged image discards part of the little it shows (36% of its area at a share of 0.8).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from mmbench.checkpoints.card import OWN_IMAGES, ModelCard
from mmbench.data.types import Split

if TYPE_CHECKING:
    from mmbench.data import Dataset
    from mmbench.data.images.sides import Sides

RESIZED_OVER_FED = 256 / 224  # evaluation resizes the short side to 256 px and cuts the middle 224

SmallImages = Literal["margin", "whole"]


class Framing(NamedTuple):
    """How images become the input of the backbone.

    Attributes:
        fed: side in pixels of what the backbone is fed.
        resized: short side in pixels before the centre crop; None for images that a data set holds
            decoded, which are not resized unless they are smaller than `fed`.
        images: how large the images are, None where no file's header could be read.
        stated_by: who states crop_pct, such as "the weights"; empty where the images decide.
    """

    fed: int
    resized: int | None
    images: Sides | None
    stated_by: str = ""

    def __str__(self) -> str:
        """Return text such as "28 px files, fed whole at 32 px"."""
        images = "files of unknown size" if self.images is None else str(self.images)
        if self.resized is None:
            side = self.fed if self.images is None else self.images.median
            if side == self.fed:
                return f"{images}, fed as they are"
            return f"{images}, " + (
                f"centre {self.fed} fed" if side > self.fed else f"enlarged to {self.fed}"
            )
        by = f" (crop_pct of {self.stated_by})" if self.stated_by else ""
        if self.resized == self.fed:
            what = (
                "fed whole" if self.images is not None and self.images.square else "their middle square fed"
            )
            return f"{images}, {what} at {self.fed} px{by}"
        return f"{images}, short side resized to {self.resized}, centre {self.fed} fed{by}"

    def remarks(self) -> tuple[str, ...]:
        """Return a line where weights or protocol decide: other records may be framed differently."""
        return (f"evaluated images: {self}",) if self.stated_by and self.resized is not None else ()


class FramingRule(NamedTuple):
    """What decides how images are framed.

    Attributes:
        small_images: a protocol's: "margin" always crops a margin, whatever is stated, as the first version
            of every protocol does; "whole" obeys crop_pct where it is stated, else decides by the images.
        crop_pct: as stated by the protocol or the weights.
        stated_by: who states it.
    """

    small_images: SmallImages = "margin"
    crop_pct: float | None = None
    stated_by: str = ""

    def framing(self, dataset: Dataset, split: Split, fed: int, *, from_files: bool) -> Framing:
        """Return how the images of a split are framed.

        All splits of a data set are framed alike: the training files decide, where there are some.

        Args:
            from_files: read from files one by one, as opposed to kept in memory.
        """
        from mmbench.data.images.decoding import STORED_OVER_FED
        from mmbench.data.images.sides import sides

        if split not in dataset.files:
            return Framing(fed, None, sides(dataset, split))
        images = sides(dataset, "train" if "train" in dataset.files else split)
        margin = round(fed * (RESIZED_OVER_FED if from_files else STORED_OVER_FED))
        if self.small_images == "margin":
            return Framing(fed, margin, images)
        if self.crop_pct is not None:
            # timm rounds down; the small number keeps 96 / 0.8 from becoming 119.
            resized = math.floor(fed / self.crop_pct + 1e-6)
            return Framing(fed, resized, images, self.stated_by)
        small = images is not None and images.median <= fed
        return Framing(fed, fed if small else margin, images)


FIRST_VERSIONS = FramingRule()  # how the first version of every protocol frames images


def rule_for(small_images: SmallImages, stated: float | None, card: ModelCard | None) -> FramingRule:
    """Return the rule of a protocol (`small_images` and the crop_pct that it states) for weights.

    The protocol takes precedence over the weights. What our own pretraining writes into its card describes
    the images that it was trained on, so it does not apply to others.

    Args:
        card: of the weights; None for controls.
    """
    if stated is not None:
        return FramingRule(small_images, stated, "the protocol")
    if card is None or card.origins.get("crop_pct") == OWN_IMAGES:
        return FramingRule(small_images)
    return FramingRule(small_images, card.preprocessing.crop_pct, "the weights")
