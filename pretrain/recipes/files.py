"""The YAML files of recipes: scales and methods, whose statements give every value with its source."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Field, model_validator

from mmbench.settings.types import STRICT

OURS = "ours"  # the source of values that no publication gives for this scale
DEFAULT_SCALE = "small-images"

Name = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
Version = Annotated[int, Field(ge=1)]


class Statement(BaseModel):
    """Values that come from one place.

    Attributes:
        source: a publication or a repository, with the section or commit; or "ours".
        why: reason for values that are ours.
        scales: where the values hold; everywhere if empty.
        settings: of PretrainConfig.
    """

    model_config = STRICT

    source: str
    why: str = ""
    scales: tuple[Name, ...] = ()
    settings: dict[str, Any]

    @model_validator(mode="after")
    def _ours_has_a_reason(self) -> Statement:
        if self.source == OURS and not self.why:
            raise ValueError(f"values of source '{OURS}' need a reason ('why')")
        return self

    def holds_at(self, scale: str) -> bool:
        """Return whether the values hold at a scale."""
        return not self.scales or scale in self.scales


class Earlier(BaseModel):
    """What an earlier version of a scale did otherwise, so that its recipes can still be followed.

    Attributes:
        version: of the scale.
        why: what it did, in words.
        settings: that stand above those of the scale, and below those of a method.
    """

    model_config = STRICT

    version: Version
    why: str
    settings: dict[str, Any]

    def statement(self) -> Statement:
        """Return its settings as a statement."""
        return Statement(source=OURS, why=f"version {self.version}: {self.why}", settings=self.settings)


class RecipeFile(BaseModel):
    """What scales and methods have in common.

    Attributes:
        name: as the command line takes it; the file is called the same.
        version: a change of anything that changes numbers is a new version.
        title: one line.
        stated: values with their sources; later ones take the place of earlier ones.
    """

    model_config = STRICT

    name: Name
    version: Version
    title: str
    stated: tuple[Statement, ...]


class Scale(RecipeFile):
    """One scale: image size, network, length, batch, optimiser, queue, crops.

    Attributes:
        data: names of the data sets that it is made for; the first is the default.
        side: the least and the largest median short side of the images that it fits, in pixels.
        images: the least number of training images that it fits.
        differs: how its values and what they belong to differ from the source that they are from.
        earlier: versions that can still be followed.
    """

    data: Annotated[tuple[str, ...], Field(min_length=1)]
    side: tuple[int, int]
    images: int
    differs: str = ""
    earlier: tuple[Earlier, ...] = ()

    def fits(self, side: int, images: int) -> bool:
        """Return whether the scale fits so many images of this median short side (pixels)."""
        return self.side[0] <= side <= self.side[1] and images >= self.images


class Method(RecipeFile):
    """One method: framework and masking, and what they state at a scale.

    Attributes:
        tried: scales at which the method was run to its end with mmbench.
        differs: how it differs from the source.
    """

    tried: tuple[Name, ...]
    differs: str


File = TypeVar("File", bound=RecipeFile)


def _read(folder: str, model: type[File]) -> dict[str, File]:
    found: dict[str, File] = {}
    for entry in resources.files(__package__).joinpath(folder).iterdir():
        if entry.name.endswith(".yaml"):
            file = model.model_validate(yaml.safe_load(entry.read_text(encoding="utf-8")))
            if entry.name != f"{file.name}.yaml":
                raise ValueError(f"{folder}/{entry.name} is called '{file.name}' inside")
            found[file.name] = file
    return found


@functools.cache
def scales() -> dict[str, Scale]:
    """Return the scales by name, the smallest images first."""
    found = _read("scales", Scale)
    return {
        scale.name: scale for scale in sorted(found.values(), key=lambda scale: (scale.side, scale.images))
    }


@functools.cache
def methods() -> dict[str, Method]:
    """Return the methods by name, sorted."""
    return dict(sorted(_read("methods", Method).items()))
